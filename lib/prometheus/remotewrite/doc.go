// Package remotewrite sends samples to Prometheus by its remote-write protocol: 2.0 where the
// receiver supports it, else 1.0, as for Amazon Managed Service for Prometheus.
//
// Specifications: https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/ and
// https://prometheus.io/docs/specs/prw/remote_write_spec/. Why the
// messages are written by hand: docs/adr/0003-remote-write-types.md.
//
// # Choosing the protocol
//
// With Auto the client begins with 2.0 and changes to 1.0, for its lifetime, when the
// receiver responds 415, or responds 2xx or 400 without any of the headers that report what
// was written: receivers older than 2.0 ignore the content type and read a 2.0 message as an
// empty one. For a receiver that has sent those headers once, the client stays with 2.0.
//
// # Retries
//
// Network errors, 5xx and 429 are retried, with growing random waits that are never shorter
// than Retry-After, until the context's deadline is earlier than the next wait. The error is
// then a *RetryError. A request with any other response is never repeated as it was. Neither
// is the 500 with which Prometheus 2.42 rejects a sample that is older than its
// out_of_order_time_window: repeated, it would block all samples after it.
//
// # Rejected requests
//
// A receiver of 1.0 rejects a request with 400 as a whole although one sample in it is
// invalid. The client then halves the request repeatedly until the rejected samples are
// isolated: the others are written, and Result.Rejected names the rejected. A receiver of 2.0
// writes what it can and reports how much that was; the series that its message names are
// reported, and nothing is sent again.
//
// # Order and repetition
//
// Prometheus accepts the samples of one series in the order of their timestamps. Within a
// Series the client sorts them; requests are sent one after the other, in the order of the
// input. Sending a series' newest sample again is harmless. Older ones are rejected by a
// receiver whose out_of_order_time_window is 0, which costs a bisection for samples that are
// stored already: set the window to the longest replay or more.
package remotewrite
