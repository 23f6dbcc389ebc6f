// Package bridge reduces the records of the stream to samples of key performance
// indicators and writes them to a remote-write receiver such as Prometheus.
//
// # One invocation
//
// The shard's state is loaded, the records above its watermark are folded into
// it one by one, each window that their arrival has closed is written, and the
// state is saved with the watermark of the last record, in this order: see
// lib/shardstate for why, and lib/kpi for what a window is and what closes it.
//
// A record ends in one of two ways.
//
//   - folded: its events count, or are counted as late, early, duplicate or refused.
//   - skipped: it cannot be decoded. Its arrival moves the clock all the same. It is
//     counted here; the store keeps it among its dead letters.
//
// When the receiver cannot be reached, or another invocation has saved the
// state meanwhile, the invocation fails and its records come again: the stream
// is the buffer. What the receiver refuses for good is named in a log line and
// counted, and the rest goes on.
//
// # Samples are written once, in order
//
// A window's samples are written before any of the next, so of a series the
// times only rise. An invocation that fails after it has written repeats
// its samples, the same ones: they follow from the records alone. The process
// that has written them knows so and leaves out whole windows that the
// receiver has taken; another process writes them again. A receiver takes the newest sample of a series
// repeatedly, and older ones within its out-of-order window; those that it
// rejects as older than what it has are counted as duplicates, and are no fault.
//
// The one thing that does not follow from the records is the configuration of the
// machines. When it changes between a write and its repetition, the machine
// figures of those windows may differ, and the first stay.
package bridge
