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
// # Input
//
// Times are microseconds since 1970 and values are in the series' own unit, of
// any scale. What is odd about an input has a defined meaning:
//
//   - A value that is NaN or infinite is a missing sample: its score is 0 and it
//     changes nothing.
//   - Times serve only to tell the order of samples. A sample that is not later
//     than the one before it is scored like any other: a stream whose clock was set
//     back must not go blind.
//   - Values beyond ±1e150 count as ±1e150, so that no square overflows; values
//     nearer to zero than 1e-150 count as zero.
//
// # State
//
// [Detector.AppendState] writes the state, little endian, the same on every
// platform: a version byte, the fields in their order, and a checksum.
// Splitting a series anywhere with a save and a restore changes no score.
package anomaly
