// Package kpi reduces a shard's events to key performance indicators: figures of
// every series, the time and count sums of ISO 22400-2 of every machine, and
// figures of the platform by gateway, each per window of event time. It is the
// pure core of a consumer of the stream: state and records in, state and samples
// out.
//
//	s, err := kpi.NewShard(config)
//	err = s.Decode(saved)              // unless this is the shard's first record
//	for each record { s.Observe(batch, arrival); s.EmitClosed(emit) }
//	saved = s.AppendBinary(saved[:0])
//
// # Windows
//
// Windows are aligned on the Unix epoch and half open: [end−Window, end). What
// closes them is the arrival clock, which is the greatest arrival of the records
// so far: a window is closed once the clock has reached its end by Lateness. No
// wall clock is read, so a replay closes the same windows at the same records.
// When no record arrives no window closes.
//
// An event is judged by the clock at its own record. Its window closed: it is
// late. Its window begins more than Ahead past the clock: it is early. Both
// are counted, in the window in which they arrived, and are in no other figure.
//
// EmitClosed emits each sample of each closed window once: windows in order, so that
// the samples of a series are in order of time. What is emitted follows from the
// records and their order alone; where Observe, EmitClosed, AppendBinary and Decode
// come between them makes no difference. (One exception: a gateway at its limit
// of series gets room when EmitClosed forgets silent ones. EmitClosed after each Observe and
// there is no exception.)
//
// # Order and duplicates
//
// Within the lateness the order of events does not matter, and an event counts
// once however often it comes: the windows are the same to the bit. For that
//
//   - a mean is made of an exact sum. Values of magnitude 2^-22 (2.4e-7) to 2^33
//     (8.6e9), and 0, are added as 128-bit integers in units of 2^-74; others, and
//     what passes 128 bits, go to an integer that is wide enough for any float64
//     and slower. There is no bound on the exactness: mean is the exact sum,
//     rounded to a float64, divided by the count and rounded again.
//   - the times of each series and window are kept as a set, in arithmetic runs:
//     regular sampling takes one run for as long as it is regular. A set takes
//     Limits.Runs runs, so 64 wholly irregular times and any number of regular
//     ones. When it is full after it was put in order, further times outside its
//     runs count, and count as unverified: they may be there twice.
//   - states and counters are kept as the changes in them, from which with the
//     set of times each reading can be told. A window keeps Limits.Changes of
//     them; a further change takes the place of the one before it (a counter's
//     increase stays right, unless it was reset in between) or is left out, and
//     counts as crowded.
//
// The same identity with another value or quality is a conflict, and as in the
// database the first offer in the order of the stream stays; the later one counts
// as a duplicate. The stream keeps the order of a gateway's records, and delivers
// them in that order again, so this rule gives the same figures on every replay
// and the same as the database, which a rule by value would not. It is the one
// thing for which the order of offers matters. Conflicts are counted by the store.
//
// # Figures of series
//
// They are of usable readings: not of bad quality, and finite. Bad ones
// are counted as bad quality, and as events. NaN and infinities count as bad.
//
// # Machines
//
// A device that Machines describes is a machine. Its state lasts from a reading
// until the next, and through any number of windows; time is unknown before the
// first, in states that have no meaning, and from StaleLimit after the last
// usable reading of any of its metrics until the next. Then the state before goes
// on. Production, idle, setup and down time make the busy time; they, unknown and
// not planned time make the planned time. All of it is exact to the microsecond.
//
// Counters grow by the differences of readings in order of event time; a decrease
// is a reset to 0. An increase counts at the time of the reading that shows it.
// The first reading of a counter is what later ones are measured by. All sums but
// the calendar's are of planned time alone, so that their ratios fit together.
//
// A machine is reported on in every window from its first reading on, until it
// has been silent for Forget; its state and counts are then forgotten.
//
// # Gateways
//
// Freshness is the window's end less the time of the newest usable reading before
// it. The gap is the part of the window that is more than the limit Gap after a
// reading. Lags are of accepted events: the received time of the first offer.
//
// # Bounds
//
// A gateway has at most Limits.Devices devices and Limits.Series series, and a
// shard Limits.Gateways gateways. Events past that are refused: Report.AtLimit is
// true, RefusedEvents counts them (Shard.Refused where it is the gateway that is
// too many), and the others go on. Each series has at most
// (Window + Lateness + Ahead) / Window + 2 windows open.
//
// # The serialised state
//
// Version byte, clock, gateways, devices, series and windows in order of name and
// time; varints, values as 8 bytes, little endian. A set of times that is that of
// the series before (the metrics of a machine are sampled together) takes no
// room. A window that is open takes most of it, so a state is largest where two
// are: 20,000 series at 10 Hz, three in ten of them states and counters, saved
// each second with windows of 5 s and 2 s of lateness, take 76 bytes a series in the mean and
// 112 at most (TestStateIsSmall).
//
// Decode checks all that later calls rely on. It does not check that the runs of
// a set are disjoint: the state comes from AppendBinary, and storage has checksums.
package kpi
