// Package shardstate stores the state of a stream consumer, one object for each
// shard, from one invocation to the next.
//
// # The consumer
//
// A consumer of a stream is a pure function (state, records) → (state, effects).
// lib/stream.Runner runs an invocation:
//
//	lease, err := store.Load(ctx, shard)
//	fresh, err := shardstate.Fresh(lease.Watermark(), records, sequenceOf)
//	if len(fresh) == 0 { lease.Release(); return nil }
//	effects := fold(lease.State, fresh)      // record by record
//	err = perform(ctx, effects)              // all of them durable
//	err = lease.Save(ctx, sequenceOf(&fresh[len(fresh)-1]))
//
// An error at any step fails the invocation, so that its records are delivered
// again. The consumer must guarantee
//
//   - that the state is a fold over single records: nothing in it depends on
//     where a batch ends, on the time of day, on the order of a map;
//   - that an effect follows from the records alone and is idempotent: it names its
//     target and the value, so that repeating it, or performing it late, after the
//     effects of later records, changes nothing. "Set the sample of 10:00:05 to 7"
//     is such an effect, "add 7" and "set the current value to 7" are not;
//   - that its event source mapping has a parallelization factor of 1, so that a
//     shard's records are delivered in order.
//
// Then the effects and the state are those of one uninterrupted run over the shard,
// whatever fails.
//
// # Recall and Confirm
//
// A consumer most of whose invocations have no effects calls Recall in place of
// Load. It returns the state that the process remembers, without a request. The
// consumer calls Lease.Confirm before its first effect:
//
//	lease, err := store.Recall(ctx, shard)
//	effects := fold(lease.State, fresh)
//	if len(effects) > 0 { err = lease.Confirm(ctx) }
//	err = perform(ctx, effects)
//	err = lease.Save(ctx, …)
//
// The process remembers a state with the ETag under which it saved or read it. If
// the object still has that ETag when it is confirmed, it had it all the time
// since, because an ETag is never used twice: the invocation is then equivalent to
// one that called Load. If there was nothing to confirm, Save compares the same
// ETag, and either the same holds or nothing is written and nothing was done. Both
// return [ErrStale] where it does not hold. The consumer then discards its state and
// repeats the attempt with Load, as if the invocation had failed and its records had
// been delivered again. An invocation that skips all its records must confirm, too:
// the watermark that it compared them with may be stale.
//
// # Effects first, then the state
//
// If the state were saved first, a crash before the effects would lose them: the
// records would be delivered again, be at or below the watermark and be skipped. With
// the effects first, a crash in between repeats them from the previous state: the same
// ones, perhaps in other batches. Effects are performed at least once, and what they
// change is changed exactly once.
//
// # Failures
//
//   - Crash between effect and save: the stored state is the previous one; see above.
//   - Other batch boundaries, duplicates: [Fresh] skips records that are in the state,
//     and the rest is folded record by record.
//   - A zombie: an invocation that timed out and is still running, or whose last
//     request is still in flight, while its successor has begun. Both have loaded
//     the same object, and the first to save wins. If the successor wins, the
//     zombie's save fails, and its effects were the same as the successor's. If the
//     zombie wins, the successor's save fails with telemetry.ErrConflict, its
//     invocation fails, and its redelivery skips what the zombie has done: those
//     effects are durable, or the zombie would not have saved.
//   - Equal contents: the ETag may in S3 be no more than a hash of the content. The
//     nonce in each object makes the content of each write unique, so an old ETag
//     never becomes valid again.
//   - A lost response: the write was applied, and the client's retry is rejected or
//     the call fails. Save then reads the object and recognizes its own nonce. If
//     another invocation has saved in the meantime, Save reports a conflict although it
//     had succeeded: the redelivery then skips the records.
//   - A write that is applied after its call has failed is like a zombie's.
//   - A warm process with a stale state: shards are not bound to processes, so the
//     state in memory has effects only if the object still has its ETag, which a
//     conditional request without a body confirms. A lease removes the state from
//     memory until it is saved or released, so a state that was partly changed by a
//     failed invocation is never used again.
//   - A damaged object: Load fails, and the shard is blocked until an operator
//     restores it (an earlier version, where the bucket has versioning) or deletes it.
//     A deleted state starts empty, with the next record.
//
// # Splits and merges
//
// The first state of a shard without an object is what [Codec.Inherit] makes of its
// parents' states. Event source mappings read a child only after its parents
// are exhausted, so each parent's last save is done, and its state is final. A
// parent without an object was never written to, or its records all failed and
// went to the mapping's on-failure destination; then its own parents are used.
//
// Two limits. When the mapping has discarded a parent's last records, a zombie that
// still saves them is too late for a child that has begun. And when a parent has
// expired from the stream (a day or more after it was closed, by the stream's
// retention) without ever having been written to, its own parents cannot be found:
// the child then begins empty.
//
// # Expiry
//
// Store deletes nothing: a state is needed until the shard's children have saved
// theirs, and a shard may be quiet for long. The bucket may expire a state that was
// not written for longer than both
//
//   - the stream's retention, so that no record at or below the watermark can be
//     delivered any more and no child of the shard has unread records, and
//   - the longest time that the consumer remembers anything, so that the old state
//     would be as empty as the one with which the shard begins instead.
//
// cdk/stacks/data.go has these rules, by prefix of [Store.Key]; a new consumer
// adds its own.
//
// # Object format
//
//	"ISHS" | version 1 | flags | nonce (16) | length of the watermark | watermark | state | CRC-32C
//
// Version, flags and length are a byte each; flag bit 0 says that the state is
// one zstd frame; the watermark is the sequence number in decimal; the CRC
// (big endian) covers the object's key and all bytes before it. With the 56 digits
// of Kinesis the overhead is 83 bytes. The key is
// <prefix><consumer>/<stream>/<shard>.
package shardstate
