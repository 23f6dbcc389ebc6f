// Package detect finds anomalies in the records of the stream, stores them in the
// database and publishes them.
//
// # One invocation
//
// The shard's state is loaded, the records above its watermark are folded into
// it one by one, what was found is stored in the database and published on the bus, and the
// state is saved with the watermark of the last record, in this order: see
// lib/shardstate for why. When the database cannot be reached, or another
// invocation has saved the state meanwhile, the invocation fails and its records
// come again: the stream is the buffer. What the bus does not accept within the timeout is
// counted and logged, and the rest goes on: it is in the database. The same holds for the
// scores that are exported for dashboards.
//
// # What is scored
//
// Every series has a Detector of lib/anomaly, except states and counters: the
// metrics that the configuration of the machines names as such. Where a device
// reports three or more of its scored metrics in step, at the same times, it has a
// Machine of lib/anomaly as well.
//
// Events of a series are scored in the order of their times. The events of a
// batch are put in that order; one that is not newer than what its series has seen
// is not scored, whether it is a repetition or late: it is counted, and in the
// database. So a gateway that was offline has all its events scored if it sends
// the older ones first, and otherwise only the newer ones. A reading of bad
// quality, or one that is not a number, is a missing one.
//
// # Rules
//
// An alarm rule watches one series, whether it is scored or not. It raises one alarm
// and is then silent until it is over:
//
//   - threshold: a value outside low to high, until one is inside by the hysteresis.
//   - rate: two successive values whose difference, over the time between them, is
//     more than per_second, until two are within it.
//   - no_data: nothing of the series has arrived for longer than the silence, by the
//     shard's arrival clock, until something does. Its time is when the silence
//     became too long, not when that was noticed. A series that never was has no
//     silence, and a shard to which nothing is written notices none (docs/adr/0009).
//
// # Found again, it is the same
//
// What is found follows from the records alone, and its identity (gateway, device,
// metric, time, kind, rule) with it, however the batches are cut. A repetition
// after a crash finds the same, which the database has already; receivers on the bus
// drop it by its id, see [ID]. The one thing that does not follow from the records
// is the configuration, rules among it: when it changes between an invocation and
// its repetition, both may find something else, and all of it stays.
//
// # The state
//
// docs/adr/0013 says why it is saved whole. The form is
//
//	version 1 | arrival clock | swept | gateways
//	gateway:  name | site | devices
//	device:   name | 0, or 1 and the watch for machines | series
//	series:   metric | flags | newest | arrival | value's time and bits | ids of raised rules | detector
//
// Numbers are varints, names and lists have their length before them. The state of
// a detector is written without the words that are zero: its length, its first byte, a bit for
// each word, the words that are not zero.
package detect
