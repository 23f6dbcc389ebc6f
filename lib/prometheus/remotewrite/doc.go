// Package remotewrite sends samples to Prometheus by its remote-write protocol:
// 2.0 where the receiver offers it, 1.0 (the form that Amazon Managed Service
// for Prometheus speaks) where it does not.
//
// Specifications: https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/ and
// https://prometheus.io/docs/specs/prw/remote_write_spec/. Why the
// messages are written by hand: docs/adr/0003-remote-write-types.md.
//
// # Choosing the protocol
//
// With Auto the client begins with 2.0 and changes to 1.0, for good, when the
// receiver answers 415, or answers 2xx or 400 without any of the headers that say
// what was written: receivers older than 2.0 do not look at the content type and
// read a 2.0 message as an empty one. A receiver that has once sent those headers
// keeps 2.0.
//
// # What is tried again
//
// Network errors, 5xx and 429 are tried again, with growing waits drawn at
// random and never shorter than Retry-After, until the context's deadline is too
// near for the next wait. The error is then a *RetryError. No other answer is
// ever repeated as it was, and neither is the 500 by which Prometheus 2.42 refuses a
// sample that is older than its out_of_order_time_window: repeated, it would hold up all that
// comes after it.
//
// # A request that is refused
//
// A receiver of 1.0 refuses a request with 400 as a whole although one sample in
// it is bad. The client then halves the request again and again until the bad
// samples stand alone: the others are written, and Result.Rejected names the bad.
// A receiver of 2.0 writes what it can and says how much that was; the series
// that its message names are reported and nothing is sent again.
//
// # Order, and sending again
//
// Prometheus takes the samples of one series in the order of their timestamps.
// Within a Series the client sorts them; requests go out one after the other, in
// the order of the input. Sending a series' newest sample again is harmless.
// Sending older ones again is refused by a receiver whose
// out_of_order_time_window is 0, and costs a bisection for samples that are there
// already: set the window to at least the longest replay.
package remotewrite
