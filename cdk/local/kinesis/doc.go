// Package kinesis emulates Amazon Kinesis Data Streams in one process: it serves the
// HTTP API that the SDKs use, and Read and Wait for the emulator of event source
// mappings, which reads without HTTP.
//
// The protocol is awsjson 1.1 (POST /, X-Amz-Target: Kinesis_20131202.<Operation>),
// which is what github.com/aws/aws-sdk-go-v2/service/kinesis v1.56.11 sends. The stack serves it
// over HTTP/1.1 and HTTP/2, both without TLS: npm @aws-sdk/client-kinesis begins with HTTP/2.
// Signatures are not checked, and there is one account and one region.
//
// # Limits, with their source
//
// From the API reference of 2026 and the quotas page of the developer guide:
//   - A record, its partition key included, has at most 1 MiB; CreateStream and
//     UpdateMaxRecordSize raise that to at most 10 MiB for a stream.
//   - PutRecords accepts 500 records and 10 MiB.
//   - Writes to a shard are limited to 1 MiB and 1,000 records a second. Both are
//     token buckets of one second; a record larger than 1 MiB needs a full one and
//     makes it negative. Only the records above the limit fail, with
//     ProvisionedThroughputExceededException as their ErrorCode.
//   - Reads from a shard are limited to 2 MiB and 5 GetRecords a second, 10,000
//     records and 10 MiB a call. After a call that returned more than 2 MiB the
//     shard throttles until the bucket is positive: 5 s after 10 MiB, as documented.
//   - Iterators expire after 5 minutes, NextToken of ListShards after 300 s.
//   - Retention is 24 hours to 365 days.
//   - UpdateShardCount at most doubles or halves, ten times in 24 hours.
//
// Read is not throttled. In AWS an event source mapping shares a shard's 2 MiB/s; a
// local run should not wait for that. Streams of mode ON_DEMAND have their initial
// four shards, each with the limits of a shard, and do not scale. Rate limits of
// control operations, tags, encryption, enhanced fan-out and DryRun are not
// implemented; other operations return UnknownOperationException.
//
// # Memory
//
// All records are in memory, limited to Config.MemoryBytes and freed in segments of
// about 1 MiB of one shard. Records older than the retention are freed first; when
// that is not enough, those that every registered consumer has reported as processed
// (RegisterConsumer, SetTrimmable). If that is not enough either, the records of
// PutRecords fail with ProvisionedThroughputExceededException, which producers retry:
// an accepted record is never dropped to free memory.
//
// # Snapshots
//
// Snapshot writes everything that has not expired and Restore reads it into a new
// server, before any stream is created there. Sequence numbers continue; iterators and
// registered consumers are not part of a snapshot.
//
// # Order
//
// The records of a shard are in the order in which they were accepted; those of one
// PutRecords request become readable together. Sequence numbers are decimal numbers of
// 56 digits that increase within a shard; those of a child are above all of its parents'.
package kinesis
