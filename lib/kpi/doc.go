// Package kpi computes key performance indicators from the events of one shard of the
// stream, for windows of event time: statistics of each series, the time and count
// sums of ISO 22400-2 of each machine, and statistics of each gateway. It is the pure
// core of a consumer: state and records in, state and samples out.
//
//	s, err := kpi.NewShard(config)
//	err = s.Decode(saved)              // unless this is the shard's first record
//	for each record { s.Observe(batch, arrival); s.EmitClosed(emit) }
//	saved = s.AppendBinary(saved[:0])
//
// # Windows
//
// Windows are aligned to the Unix epoch and half open: [end−Window, end). The arrival
// clock, which is the greatest arrival time of the records so far, closes them: a
// window is closed once the clock has reached its end plus Lateness. The wall clock is
// never read, so a replay closes the same windows at the same records. When no record
// arrives no window closes.
//
// An event is compared with the clock at its own record. When its window is closed it
// is late. When its window begins more than Ahead after the clock it is early. Both are
// counted, in the window in which they arrive, and are in no other KPI.
//
// EmitClosed emits each sample of each closed window once, window by window, so that
// the samples of a series are in order of time. The samples depend on the records and
// their order alone, not on when EmitClosed, AppendBinary and Decode are called between
// them. There is one exception: for a gateway at its limit of series, EmitClosed frees
// the room of silent ones. A caller that calls EmitClosed after each Observe has no
// exception.
//
// # Order and duplicates
//
// Within the lateness the order of events does not matter, and an event counts once
// however often it is delivered: the windows are identical to the bit. For that
//
//   - a mean is computed from an exact sum. Values of magnitude 2^-22 (2.4e-7) to 2^33
//     (8.6e9), and 0, are added as 128-bit integers in units of 2^-74; other values, and
//     sums that overflow 128 bits, as slower integers that are wide enough for any
//     float64. A mean is the exact sum, rounded to a float64, divided by the count and
//     rounded again.
//   - the times of each series and window are stored as a set of arithmetic runs:
//     regular sampling is one run for as long as it is regular. A set has at most
//     Limits.Runs runs, so it holds 64 irregular times, or any number of regular ones.
//     Once a set is full even after compaction, further times outside its runs count,
//     and count as unverified: they may be duplicates.
//   - states and counters are stored as the list of their changes, from which, with the
//     set of times, each reading can be restored. A window stores Limits.Changes of them;
//     a further change replaces the one before it (the increase of a counter stays
//     correct, unless it was reset in between) or is dropped, and counts as crowded.
//
// The same identity with another value or quality is a conflict. As in the database the
// first value in the order of the stream is kept, and the later one counts as a
// duplicate. The stream preserves the order of a gateway's records, also when it
// delivers them again, so this rule gives the same KPIs on every replay, and the same as
// the database; a rule by value would not. Only for conflicts does the order of delivery
// matter. The store counts them.
//
// # KPIs of series
//
// They are computed from usable readings: finite, and not of bad quality. Bad readings
// are counted as bad quality, and as events. NaN and infinities count as bad.
//
// # KPIs of machines
//
// A device that Machines describes is a machine. Its state lasts from one reading to the
// next, across any number of windows. Time is unknown before the first reading, in
// states without a meaning, and from StaleLimit after the last usable reading of any of
// its metrics until the next one; then the previous state continues. Production, idle,
// setup and down time are the busy time; busy, unknown and not planned time are the
// planned time. All of it is exact to the microsecond.
//
// Counters grow by the differences of readings in order of event time. A lower reading is a
// reset only if it is plausible as a count since then; otherwise it is a dip, and an
// increase that is not plausible is held until it is confirmed (counter.go, ADR 27). An
// increase counts at the time of the reading that shows it. The first
// reading of a counter is only the base of later ones. All sums but calendar time are of
// planned time alone, so that their ratios are consistent.
//
// A machine has samples in every window from its first reading on, until it has been
// silent for Forget; then its state and counts are forgotten. One with a configuration of
// its own is not forgotten until that is removed or its gateway is revoked; then it ends with
// its stale limit. Windows that are open and have readings when a machine's configuration
// changes have none of the sums of ratios (identity.go). MachineSums says which samples, and docs/KPIS.md what they mean.
//
// # KPIs of gateways
//
// Freshness is the end of the window minus the time of the newest usable reading before
// it. The gap is the part of the window that is more than the limit Gap after a reading.
// Lags are of accepted events, by the received time of their first delivery.
//
// # Limits
//
// A gateway has at most Limits.Devices devices and Limits.Series series, and a shard at
// most Limits.Gateways gateways. Further events are rejected, and all others are processed:
// Report.AtLimit is true, Report.Refused counts the rejected ones, and so does
// RefusedEvents, unless it is the gateway that exceeds the limit. Each series has at most
// (Window + Lateness + Ahead) / Window + 2 open windows.
//
// # Serialised state
//
// Version byte, clock, gateways, devices, series and windows in order of name and time;
// varints, and values as 8 bytes, little endian. A set of times that equals that of the
// series before takes no room, since the metrics of a machine are sampled together. Most
// of the state are open windows, so it is largest while two of them are open: 20,000
// series at 10 Hz, three in ten of them states and counters, saved each second with
// windows of 5 s and 2 s of lateness, take 77 bytes a series on average and 113 at most
// (TestStateIsSmall).
//
// Decode checks everything that later calls rely on, except that the runs of a set are
// disjoint: the state comes from AppendBinary, and storage has checksums.
package kpi
