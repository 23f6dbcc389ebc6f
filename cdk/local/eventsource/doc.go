// Package eventsource is a Kinesis event source mapping: it reads a stream's
// shards and invokes a function with batches of their records, as AWS Lambda's
// own pollers do.
//
// # Order and parallelism
//
// Each shard is read by one poller; a shard's children are read when all of its
// records are finished. Its records are dealt to Parallelization lanes by a hash
// of the partition key. A lane has at most one invocation in flight, so a
// partition key's records are delivered in their order.
//
// # Batches
//
// With no Window a lane invokes as soon as a record is there; what arrives during
// an invocation makes up the next batch. With a Window it waits for whichever
// comes first: the window's end (counted from the first waiting record), BatchSize
// records, or 6 MB of payload.
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
//	                                        the rest is tried again
//	an identifier that is empty, null or    the whole batch failed
//	not in the batch; a function error;
//	a response that is not JSON
//	throttled, or not invoked at all        the same batch again; no attempt is counted
//
// With BisectOnError a failed batch of more than one record is cut instead: at the
// reported record, or in halves when none (or the first) was reported. A cut
// consumes no attempt. Records whose attempts are used up, or that are older than
// MaxRecordAge, go to the failure sink, and the shard goes on.
//
// # Checkpoints
//
// A shard's checkpoint is the sequence number up to which every record of every
// lane is finished. Delivery is at least once: what lies above the checkpoint is
// delivered again after a restart.
//
// # Where it differs from AWS
//
// AWS looks for records about once a second in each shard (or is sent them, with
// enhanced fan-out, within 70 ms); here a record is seen when it arrives.
// AWS drops records for good when the failure destination can not be written; here the
// write is repeated until it succeeds, and the lane waits. AWS does not document its
// backoff; here it is exponential, from Backoff.Min to Backoff.Max. Tumbling
// windows, filters and enhanced fan-out are not there: Settings.Validate refuses them.
package eventsource
