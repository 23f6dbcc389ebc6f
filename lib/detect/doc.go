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
// and the next one only after that has ended:
//
//   - threshold: a value below low or above high, until a value is inside of that limit by
//     the hysteresis. The two limits have an alarm each: from one side to the other one
//     ends and the other begins.
//   - rate: the change of the value per second exceeds per_second, until it does not. It is
//     the greater of the changes since the value before, and since one of one to two least
//     intervals before; a shorter time counts as the least interval.
//   - no_data: no event of the series has arrived for longer than the silence, by the
//     shard's arrival clock, until one arrives; if ignore_bad is set, only one with a usable
//     value and another time than the newest counts. The anomaly's time is the end of the
//     allowed silence, not the time of detection, and not before the rule. Ticks move the
//     clock while nothing else arrives (docs/adr/0023). For a series that never reported the
//     silence begins with the rule, if its gateway is one of the site's.
//
// # Ends
//
// An alarm ends when its condition has cleared, at the time of that event or, for no_data, of
// its arrival; and at the arrival clock when its rule is changed, deleted or disabled, or
// the series is not watched any more. The anomaly of a value ends with the next value of its
// series, that of a machine with the first moment that is not anomalous.
//
// # Times of another order
//
// Values that arrive in order are judged when they arrive. The others change neither the
// alarms that are active nor what the next value is compared with:
//
//   - late: not newer than the newest of its series. Rules raise one alarm for each excursion of
//     late values, which is over when it is found. Its begin and end move when more of its values
//     arrive, in any order; its identity is the time of the first that did. A value within an
//     alarm that was raised before is known: a gateway sends batches again. The last 16 alarms
//     and late values of a rule are remembered for that. The detectors do not look back.
//   - ahead: more than a second after the arrival clock. The first one is held, and judged at
//     the end of the first record that arrives when its time has come. The second one shows that
//     the clock of a source is fast: both are judged at once, and so are those that follow, in the
//     order of their arrival, until a minute has passed without one. Present values are judged
//     between them, also in the order of arrival; a rate compares each with those of its kind.
//
// An anomaly is late if its event was, or arrived more than a minute after its time.
//
// # Determinism
//
// The anomalies and their identities (gateway, device, metric, time, kind, rule) depend
// on the records alone, not on how they are batched. A retry after a crash finds the
// same anomalies: the database has them already, and receivers on the bus drop them by
// [ID]. The exception is the configuration, which includes the rules: if it changes
// between an invocation and its retry, the two may find different anomalies, and all of
// them stay in the database. Values ahead of the clock wait for the next record of the
// shard, of any gateway: if the shard is split meanwhile, they may be judged at another
// record than without the split.
//
// # The state
//
// docs/adr/0013 says why the whole state is saved each time. Its format is
//
//	version 2 | arrival clock | swept | gateways
//	gateway:  name | site | devices
//	device:   name | 0, or 1 and the steps of the device | times of anomalies ahead | series
//	series:   metric | flags | newest | arrival | arrival of a usable value | value's time and bits |
//	          alarms | active anomaly's time and score | values ahead |
//	          times of anomalies ahead | detector
//	alarm:    rule | kind | severity | hash of the rule | flags | time | values of a rate | past
//
// Numbers are varints; names and lists are preceded by their length. What the flags do not
// name is missing. The state of a detector is sparse: its length, its first byte, a bit for
// each 8-byte word, and the words that are not zero. Version 1 is still read; it had only the
// rules of alarms, whose next value or tick raises them again.
package detect
