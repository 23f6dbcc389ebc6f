// Package shardstate stores the state of a stream consumer, one object for each
// shard, from one invocation to the next.
//
// # The consumer
//
// A consumer of a stream is a pure function (state, records) → (state, effects).
// One invocation, which lib/stream.Runner runs, is
//
//	lease, err := store.Load(ctx, shard)
//	fresh, err := shardstate.Fresh(lease.Watermark(), records, sequenceOf)
//	if len(fresh) == 0 { lease.Release(); return nil }
//	effects := fold(lease.State, fresh)      // record by record
//	err = perform(ctx, effects)              // all of them durable
//	err = lease.Save(ctx, sequenceOf(&fresh[len(fresh)-1]))
//
// and an error at any step fails the invocation, so that its records come again.
// It promises
//
//   - that the state is a fold over single records: nothing in it depends on
//     where a batch ends, on the time of day, on the order of a map;
//   - that an effect follows from the records alone, and says itself where it
//     goes and what it puts there: to perform it again, or late, after effects of
//     later records, changes nothing. "Set the sample of 10:00:05 to 7" is one,
//     "add 7" and "set the current value to 7" are not;
//   - that its mapping has parallelisation 1, so that one shard's records come in order.
//
// Then the effects and the state are those of one straight run over the shard,
// whatever fails.
//
// # Without asking first
//
// A consumer most of whose invocations have no effects takes Recall in place of
// Load, which returns what the process remembers and asks nobody, and calls
// Lease.Confirm before its first effect:
//
//	lease, err := store.Recall(ctx, shard)
//	effects := fold(lease.State, fresh)
//	if len(effects) > 0 { err = lease.Confirm(ctx) }
//	err = perform(ctx, effects)
//	err = lease.Save(ctx, …)
//
// What is remembered is what this process has saved or read under some ETag. If
// the object still has that ETag when it is confirmed, it had it all the time
// since, for an ETag does not come back: the invocation is then one that has
// loaded. If there was nothing to confirm, Save compares by the same ETag, and
// either the same holds or nothing is written and nothing was done. Both say
// [ErrStale] where it does not hold; the consumer throws away what it has, and
// begins again with Load, which is as if the invocation had failed and come
// again. An invocation that skips all its records is to confirm, too: what it
// has read of the watermark is as old as the rest.
//
// # Effects first, then the state
//
// If the state were saved first, a crash before the effects would lose them: the
// records would come again, stand at or below the watermark and be skipped. With
// the effects first, a crash in between repeats them from the old state: the same
// ones, cut otherwise perhaps. Hence at least once for effects, exactly once for
// what they change.
//
// # What can happen
//
//   - Crash between effect and save: the state is the old one; see above.
//   - Other batch boundaries, duplicates: [Fresh] skips what is in the state, and
//     the rest is folded record by record.
//   - A zombie: an invocation that timed out and is still running, or whose last
//     request is still on its way, while its successor has begun. Both have loaded
//     the same object, and the first to save wins. If the successor wins, the
//     zombie's save fails and its effects were the ones that come anyway. If the
//     zombie wins, the successor's save fails with telemetry.ErrConflict, its
//     invocation fails, and its replay skips what the zombie has done: those
//     effects are durable, or the zombie would not have saved.
//   - A write that comes back: the comparison is by ETag, which in S3 may be no
//     more than a hash of the content. The nonce in each object makes each write
//     another content, so an old ETag never becomes valid again.
//   - A lost answer: the write was applied, and its repetition by the client is
//     refused, or the call fails. Save then reads the object; its own nonce there
//     says that it was this save. If another has saved on top meanwhile, Save
//     reports a conflict although it had succeeded: the replay then skips.
//   - A write that is applied after its call has failed is a zombie's.
//   - A warm process with an old state: shards are not bound to processes, so the
//     state in memory has effects only when the object still has its ETag, for a
//     request without a body in place of one with. A lease takes the state out of
//     memory until it is saved or released, so one that was half changed when an
//     invocation failed is never met again.
//   - A damaged object: Load fails, and the shard stands still until somebody
//     repairs it (an earlier version, where the bucket keeps them) or deletes it:
//     then the shard begins as a new one and counts from the next record on.
//
// # Splits and merges
//
// A shard without an object begins with what [Codec.Inherit] makes of its
// parents' states. Event source mappings read a child only after its parents
// are exhausted, so each parent's last save was done, and its state is final. A
// parent without an object was never written to, or its records all failed and
// went to the mapping's destination; then its own parents count.
//
// Two limits. When a parent's last records were given up by the mapping, a zombie
// that still saves them afterwards comes too late for a child that has begun. And
// a parent that the stream has forgotten (a day or more after it was closed, by
// its retention) without ever having been written to hides its own parents: the
// child then begins empty.
//
// # Expiry
//
// Store deletes nothing: a state is needed until the shard's children have saved
// theirs, and a shard may be quiet for long. The bucket may expire a state that was
// not written for longer than both
//
//   - the stream's retention, so that no record at or below the watermark can be
//     delivered any more and no child of the shard has unread records, and
//   - what the consumer remembers longest, so that the empty state with which the
//     shard begins instead is what would be left of the old one.
//
// cdk/stacks/data.go has these rules, by prefix of [Store.Key]; a new consumer
// adds its own.
//
// # The object
//
//	"ISHS" | version 1 | flags | nonce (16) | length of the watermark | watermark | state | CRC-32C
//
// Version, flags and length are a byte each; flag bit 0 says that the state is
// one zstd frame; the watermark is the sequence number in decimal; the CRC
// (big endian) covers the object's key and all before it. With the 56 digits of
// Kinesis that is 83 bytes beside the state. The key is
// <prefix><consumer>/<stream>/<shard>.
package shardstate
