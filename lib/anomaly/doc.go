// Package anomaly scores a stream of measurements, one series at a time, and
// never looks ahead. One [Detector] holds all that is remembered of one series
// in a fixed number of bytes; it allocates nothing.
//
// The same source runs in the browser, at the gateway and in the cloud and must
// give the same bits everywhere. Hence the package imports only math, and of
// math only what compiles to instructions; it uses + − × ÷ and √ alone; and it
// rounds each product that it adds, float64(a*b) + c, since the Go compiler may
// otherwise fuse the two on some processors.
//
// # What is anomalous
//
// What the series has not known. A [Detector] keeps the range that values have
// been in, by themselves and about their long mean, the range of the level (a short
// mean's distance from the long one), and the range of the values' distances from
// what is usual at that hour of the day and, from the third week on, of the week.
// How far a sample lies beyond a range, in widths of it, times the root of how many
// samples the range has held for, is the sample's novelty n; the score is
// n/(n + 0.021). What lies no farther beyond than values of this series usually do when
// they do, as noise's own records, counts less. The range then includes the sample: what happens again is not new
// again. After an alarm lesser ones are silent for a while. Beside that, a series
// that moves less than half as much as it ever did is reported once.
//
// Ranges forget what is older than two epochs: an epoch has 16,384 samples and two
// days at least.
//
// # Input
//
// Times are microseconds since 1970 and values are in the series' own unit, of
// any scale. What is odd about an input has a defined meaning:
//
//   - A value that is NaN or infinite is a missing sample: its score is 0 and it
//     changes nothing.
//   - Times say which hour it is and how long an epoch takes, nothing else. A
//     sample that is not later than the one before it is scored like any other: a
//     stream whose clock was set back must not go blind. With a clock that stands
//     still no hour is ever known and nothing is forgotten.
//   - Values beyond ±1e150 count as ±1e150 and those nearer to zero than 1e-150 as
//     zero, so that nothing computed from them overflows.
//   - The first 180 samples score 0, and so does a series of which there is only
//     one. A constant series scores 0 for ever; its first other value is as new
//     as a value can be.
//   - A unit's scale does not matter: a series times a power of two has the same
//     scores, to the bit.
//
// # State
//
// [Detector.AppendState] writes the state, little endian, the same on every
// platform: a version byte, words of eight bytes, and a checksum. [Detector.Restore]
// refuses what no detector saved; what was saved in the first version it restores. Splitting a series anywhere with a save and a
// restore changes no score.
package anomaly
