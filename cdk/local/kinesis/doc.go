// Package kinesis is Amazon Kinesis Data Streams inside one process: the API over
// HTTP as the SDKs speak it, and a way to read without HTTP for what stands in
// for Lambda's event source mappings.
//
// The protocol is awsjson 1.1 (POST /, X-Amz-Target: Kinesis_20131202.<Operation>),
// which is what github.com/aws/aws-sdk-go-v2/service/kinesis v1.56.11 sends.
// Signatures are not checked, and there is one account and one region.
//
// # Limits, with their source
//
// From the API reference of 2026 and the quotas page of the developer guide:
//   - A record, its partition key included, has at most 1 MiB; CreateStream and
//     UpdateMaxRecordSize raise that to at most 10 MiB for a stream.
//   - PutRecords takes 500 records and 10 MiB.
//   - A shard takes 1 MiB and 1,000 records a second. Both are token buckets of
//     one second; a record larger than 1 MiB needs a full one and leaves it in
//     debt. What is over the limit fails alone, with
//     ProvisionedThroughputExceededException as its ErrorCode.
//   - A shard gives 2 MiB and 5 GetRecords a second, 10,000 records and 10 MiB a
//     call. After a call that returned more than a second's worth the shard
//     refuses until the debt is paid: 5 s after 10 MiB, as documented.
//   - Iterators live 5 minutes, NextToken of ListShards 300 s.
//   - Retention is 24 hours to 365 days.
//   - UpdateShardCount at most doubles or halves, ten times in 24 hours.
//
// Read is not throttled: it stands for the polling of an event source mapping,
// which shares a shard's 2 MiB/s in AWS but is not what a local run should wait
// for. Streams of mode ON_DEMAND have their initial four shards, each with the
// limits of a shard, and do not grow. The rates of control operations, tags,
// encryption, enhanced fan-out and DryRun are not served; an operation that is
// not served answers UnknownOperationException.
//
// # Memory
//
// All records are in memory, bounded in bytes (Config.MemoryBytes) and freed in
// segments of about 1 MiB of one shard. Records older than the retention go
// first; when that is not enough, those that every registered consumer has
// reported as done (RegisterConsumer, SetTrimmable). If that is not enough
// either, PutRecords refuses with ProvisionedThroughputExceededException, which
// producers retry: an accepted record is never dropped to make room.
//
// # Snapshots
//
// Snapshot writes everything that has not expired and Restore reads it into a new
// server, before any stream is made there: sequence numbers go on where they
// were, iterators and what was registered by consumers do not survive.
//
// # Order
//
// The records of a shard are in the order in which they were accepted, and within
// one PutRecords in its order. Sequence numbers are decimal numbers of 56 digits
// that rise within a shard; those of a child are above all of its parents'.
package kinesis
