// Package eventsource emulates a Kinesis event source mapping: it reads a stream's
// shards and invokes a function with batches of their records, as AWS Lambda's
// own pollers do.
//
// # Order and parallelism
//
// Each shard is read by one poller; a shard's children are read when all of its
// records are finished. Its records are distributed to Parallelization lanes by a
// hash of the partition key. A lane has at most one invocation in flight, so a
// partition key's records are delivered in their order.
//
// # Batches
//
// Without a Window a lane invokes the function as soon as it has a record; the records
// that arrive during an invocation make up the next batch. With a Window it waits for
// whichever comes first: the end of the window (counted from the first waiting record),
// BatchSize records, or 6 MB of payload.
//
// A batch depends on what the shard held when it was cut, on the settings and on the
// clock, not on which goroutine ran first: what a read or a PutRecords request adds
// reaches a lane as a whole, and a lane reads the shard itself before it cuts a batch
// that is not full. With several lanes the read-ahead is shared (twice BatchSize for
// each lane), so a lane that falls behind leaves the others less to read.
//
// # After a response
//
//	success, or no batchItemFailures        the batch is finished
//	batchItemFailures (when reported)       records before the lowest sequence number are finished;
//	                                        the rest is retried
//	an identifier that is empty, null or    the whole batch failed
//	not in the batch; a function error;
//	a response that is not JSON
//	throttled, or not invoked at all        the same batch is retried; no attempt is counted
//
// With BisectOnError a failed batch of more than one record is split instead: at the
// reported record, or in half when none (or the first) was reported. A split
// consumes no attempt. Records whose attempts are used up, or that are older than
// MaxRecordAge, are discarded: they are written to the on-failure destination, and the
// shard goes on.
//
// # Checkpoints
//
// A shard's checkpoint is the sequence number up to which every record of every
// lane is finished. Delivery is at least once: records above the checkpoint are
// delivered again after a restart.
//
// # Differences from AWS
//
// AWS polls each shard about once a second (with enhanced fan-out records are pushed
// within 70 ms); here a record is read when it arrives. AWS loses records when the
// on-failure destination cannot be written; here the write is retried until it succeeds,
// and the lane waits. AWS does not document its backoff; here it is exponential, from
// Backoff.Min to Backoff.Max. Tumbling windows and filters are not implemented:
// Settings.Validate rejects them.
package eventsource
