// Package metrics sends a function's own metrics to Prometheus.
//
// Lambda functions cannot be scraped: an environment has no address and is frozen
// between invocations. So each has a registry of its own, and a Flusher writes what is
// in it by remote write.
//
// # When a flush happens
//
// A process does nothing between two invocations: Lambda freezes it when the runtime
// loop asks for more work, right after the response has been handed over. "After the
// response" therefore does not exist, and a background ticker would stand still with
// the process. What is left is time inside an invocation, which somebody may be
// waiting for. Hence:
//
//   - A flush begins when an invocation does, beside it: a goroutine collects, encodes
//     and sends while the handler waits for its own stream or database. One processor
//     is enough for that, and the usual flush is over when the handler is.
//   - The invocation that began it, and no other, waits at its end for what is left,
//     and at most for Linger (25 ms). Without that wait a function that is called rarely
//     would be frozen in the middle of each flush; with more, a Prometheus that does
//     not answer would show in the requests' latency.
//   - What is not done by then goes on in the next invocation, or fails there.
//   - One attempt in an interval, whatever becomes of it: a flush that fails is not
//     repeated, since the next one carries newer values of the same counters. An attempt
//     ends after Timeout (1 s).
//   - Intervals are drawn from the upper third of Interval (10 to 15 s), so that
//     environments that were started together do not write together.
//   - On shutdown (SIGTERM) there is a last one, within 250 ms of the 300 that Lambda
//     leaves. After a panic, which ends the process, there is one as well.
//
// An environment that serves 25 requests a second thus has one request in 300 that
// may wait, each for at most 25 ms. An internal extension that subscribes to
// invocations could flush after the response; it is billed the same, adds a round trip
// through the Extensions API to every invocation, and ties the metrics to Lambda's
// host, so it is not used.
//
// Measured (one core of an EPYC; BenchmarkInvoke and BenchmarkCollect here, BenchmarkFlush
// in lib/lambda/host): an invocation pays 126 ns and no allocation; a flush 0.35 ms of
// processor time. An invocation of 5 ms that begins one takes 5.3 ms at the median when
// Prometheus answers in 2 ms, 21 ms when it takes 20, 31 ms when it hangs.
//
// The first flush collects before the first invocation has counted anything, so each
// counter begins in Prometheus with a 0, without which rate() and increase() would not
// see what the first interval brought.
//
// # Labels and cardinality
//
// Every series has the labels job, function and instance; instance is the name of the
// execution environment's log stream, which leads to its log and which no two
// environments ever share. They can not share it: counters of two processes under one
// name would be a counter that jumps back and forth. So each environment adds its own
// series, and what is bounded is this:
//
//   - The series of one environment: no label's values come from outside, and Go's
//     memory statistics are left out. SeriesPerInstance is the bound, and a test of each
//     function counts.
//   - The environments that live at once: as many as the function's concurrency. A
//     series of an ended one stays in Prometheus's head for two to three hours and
//     answers queries for five minutes.
//   - All of them: the workspace takes a limited number of series of this job
//     (cdk/stacks), so that environments that crash and start in a loop take nothing
//     from the operator's figures. Prometheus then refuses the new ones, which
//     insighthub_metrics_rejected_samples_total counts.
//
// Dashboards and rules sum over instance, after rate().
package metrics

// SeriesPerInstance bounds the series of one environment, buckets included.
const SeriesPerInstance = 100
