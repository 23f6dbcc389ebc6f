// Package anomaly detects anomalies in streams of measurements: a [Detector] in one
// series, a [Machine] in the sensors of one machine. A score never depends on later
// samples. A Detector stores its whole state in a fixed number of bytes and allocates
// nothing.
//
// The same source runs in browsers, on gateways and in the cloud and must return the same
// bits everywhere. For that the package imports only math, and of math uses only functions
// that compile to instructions; it computes with + − × ÷ and √ alone; and it rounds each
// product that is added, float64(a*b) + c, since the Go compiler may otherwise fuse the two
// operations on some processors.
//
// # What is anomalous
//
// A sample is anomalous if it is new for its series. A [Detector] stores the range of the
// values, the range of their distances from the long mean, the range of the level (the
// distance of a short mean from the long one), and the range of the distances from the
// usual value at that hour of the day or, from the third week on, of the week. The novelty
// n of a sample is how far it is outside a range, in widths of the range, times the root of
// the number of samples for which the range has held; the score is n/(n + 0.021). A sample
// that is no farther outside than the previous ones of this series were, as the records of
// noise are, counts less. The range then includes the sample, so the same value is not new
// again. After an alarm lesser ones are suppressed for a while. In addition, a series that
// moves less than half as much as ever before is reported once.
//
// Ranges forget what is older than two epochs. An epoch has at least 16,384 samples and at
// least two days.
//
// # Input
//
// Times are microseconds since 1970, values are in the series' own unit and of any scale.
// The behaviour for unusual input is defined:
//
//   - A value that is NaN or infinite is a missing sample: its score is 0 and the state
//     does not change.
//   - Times decide the hour and the length of an epoch, nothing else. A sample that is not
//     later than the previous one is scored like any other: a stream whose clock was set
//     back must not go blind. With a clock that does not advance hours are not judged and
//     ranges never forget.
//   - Values beyond ±1e150 count as ±1e150 and those nearer to zero than 1e-150 as zero, so
//     that no computation overflows.
//   - The first 180 samples score 0. A constant series scores 0 for ever; its first other
//     value has the greatest novelty.
//   - The scale of a unit does not matter: a series multiplied by a power of two has the
//     same scores, to the bit.
//
// # State
//
// [Detector.AppendState] writes the state, little endian and identical on every platform: a
// version byte, words of eight bytes, and a checksum. [Detector.Restore] rejects every other
// input; it restores states of the first version. A save and a restore at any point of a
// series changes no score.
package anomaly
