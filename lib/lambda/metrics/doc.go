// Package metrics writes a Lambda function's own metrics to Prometheus.
//
// Lambda functions cannot be scraped: an execution environment has no address and is
// frozen between invocations. So each has a registry, and a Flusher sends its samples by
// remote write.
//
// # When a flush happens
//
// Lambda freezes a process when the runtime loop asks for the next invocation, right
// after it has received the response. There is no time after the response, and a
// background ticker would be frozen with the process. A flush can only run during an
// invocation, whose caller may be waiting. Hence:
//
//   - A flush begins with an invocation and runs concurrently: a goroutine collects,
//     encodes and sends while the handler waits for its own stream or database. One
//     processor is enough for that, and the usual flush ends before the handler does.
//   - The invocation that began it, and no other, waits at its end for the flush, for at
//     most Linger (25 ms). Without that wait a function that is invoked rarely would be
//     frozen in the middle of each flush; with a longer one, a Prometheus that does not
//     respond would add to the latency of requests.
//   - A flush that is not done by then goes on during the next invocation, or fails there.
//   - There is one attempt in an interval: a flush that fails is not retried, since the
//     next one has newer values of the same counters. An attempt ends after Timeout (1 s).
//   - Intervals are random, in the upper third of Interval (10 to 15 s), so that
//     environments that were started together do not write together.
//   - On SIGTERM there is a last flush, within 250 ms of the 300 that Lambda allows. After
//     a panic, which ends the process, there is one as well.
//
// In an environment that serves 25 requests a second, one request in 300 may thus wait, for
// at most 25 ms. An internal extension that subscribes to invocations could flush after the
// response; it is billed the same, adds a round trip through the Extensions API to every
// invocation, and works in Lambda only, so it is not used.
//
// Measured (one core of an EPYC; BenchmarkInvoke and BenchmarkCollect here, BenchmarkFlush
// in lib/lambda/host): an invocation pays 126 ns and no allocation; a flush 0.35 ms of
// processor time. An invocation of 5 ms that begins one takes 5.3 ms at the median when
// Prometheus responds in 2 ms, 21 ms when it takes 20, 31 ms when it hangs.
//
// The first flush collects before the first invocation has counted anything, so each
// counter begins in Prometheus with 0, without which rate() and increase() would miss the
// first interval.
//
// # Labels and cardinality
//
// Every series has the labels job, function and instance; instance is the name of the
// execution environment's log stream, which leads to its log. No two environments may
// share it: the counters of two processes in one series would be a counter that jumps
// back and forth. So each environment adds its own series, and these limits hold:
//
//   - The series of one environment: no label's value comes from requests or events, and
//     Go's memory statistics are left out. SeriesPerInstance is the limit, and a test of
//     each function counts them.
//   - The environments at one time: as many as the function's concurrency. A series of an
//     environment that ended stays in Prometheus's head block for two to three hours, and
//     in query results for five minutes.
//   - All environments: the workspace limits the series of this job (cdk/stacks), so that
//     environments that crash and start in a loop leave room for the operator's KPIs.
//     Prometheus then rejects the new series, which
//     insighthub_metrics_rejected_samples_total counts.
//
// Dashboards and rules sum over instance, after rate().
package metrics

// SeriesPerInstance limits the series of one environment, buckets included.
const SeriesPerInstance = 100
