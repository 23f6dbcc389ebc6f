// Package bridge reduces the records of the stream to samples of key performance
// indicators and writes them to a remote-write receiver such as Prometheus.
//
// # One invocation
//
// An invocation loads the shard's state, folds the records above its watermark into
// it one by one, writes each window that their arrival has closed, and saves the
// state with the watermark of the last record, in this order. lib/shardstate says
// why, and lib/kpi what a window is and what closes it.
//
// A record ends in one of two ways.
//
//   - folded: its events are accepted, or counted as late, early, duplicate or refused.
//   - skipped: it cannot be decoded. Its arrival advances the clock all the same. It is
//     counted here; the store function dead-letters it.
//
// When the receiver is unavailable, or another invocation has saved the state in the
// meantime, the invocation fails and its records are delivered again: the stream is
// the buffer. Samples that the receiver rejects for good are logged and counted, and
// the invocation continues.
//
// # Samples are written once, in order
//
// The samples of a window are written before those of the next, so the times of a
// series only increase. When an invocation that has written samples fails, its
// redelivery produces the same ones, since they follow from the records alone. The
// process that wrote them remembers this and omits the windows that the receiver has
// stored completely; another process writes them a second time. A receiver accepts the
// newest sample of a series repeatedly, and older ones within its out-of-order window.
// Those that it rejects because it has a newer one are counted as duplicates, which
// is not a fault.
//
// Only the configuration of the machines does not follow from the records. When it
// changes between a write and its repetition, the machine samples of those windows may
// differ, and the first ones stay.
package bridge
