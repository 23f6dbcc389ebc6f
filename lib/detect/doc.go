// Package detect finds anomalies in the records of the stream, stores them in the
// database and publishes them.
//
// # One invocation
//
// An invocation loads the shard's state, folds the records above its watermark into
// it, stores the anomalies in the database, publishes them on the bus, and saves the
// state with the watermark of the last record. lib/shardstate says why in this order.
// If the database is unavailable, or another invocation has saved the state meanwhile,
// the invocation fails and Lambda delivers its records again: the stream is the buffer.
// Anomalies that the bus does not accept within the timeout are counted and logged,
// and the invocation succeeds: they are in the database. The same holds for the scores
// that are exported for dashboards.
//
// # What is scored
//
// Every series has a Detector of lib/anomaly, except states and counters: the metrics
// that the machine configuration lists as such. A device that reports three or more of
// its scored metrics in step, at the same times, has a Machine of lib/anomaly as well.
//
// Events of a series are scored in the order of their times. The events of a batch are
// sorted. An event that is not newer than the newest of its series, duplicate or late,
// is counted but not scored; it is in the database. So all events of a gateway that was
// offline are scored if it sends the oldest first, and otherwise only those newer than
// all before. A value of bad quality, NaN or infinite, counts as missing.
//
// # Rules
//
// An alarm rule watches one series, whether that is scored or not. It raises one alarm,
// and the next one only after its condition has cleared:
//
//   - threshold: a value below low or above high, until a value is inside both limits by
//     the hysteresis.
//   - rate: the change between two successive values, divided by the time between them,
//     exceeds per_second, until a change does not.
//   - no_data: no event of the series has arrived for longer than the silence, by the
//     shard's arrival clock, until one arrives. The anomaly's time is the end of the
//     allowed silence, not the time of detection. A series without any event raises no
//     alarm, and neither does a shard without records (docs/adr/0009).
//
// # Determinism
//
// The anomalies and their identities (gateway, device, metric, time, kind, rule) depend
// on the records alone, not on how they are batched. A retry after a crash finds the
// same anomalies: the database has them already, and receivers on the bus drop them by
// [ID]. The exception is the configuration, which includes the rules: if it changes
// between an invocation and its retry, the two may find different anomalies, and all of
// them stay in the database.
//
// # The state
//
// docs/adr/0013 says why the whole state is saved each time. Its format is
//
//	version 1 | arrival clock | swept | gateways
//	gateway:  name | site | devices
//	device:   name | 0, or 1 and the steps of the device | series
//	series:   metric | flags | newest | arrival | value's time and bits | ids of raised rules | detector
//
// Numbers are varints; names and lists are preceded by their length. The state of a
// detector is sparse: its length, its first byte, a bit for each 8-byte word, and the
// words that are not zero.
package detect
