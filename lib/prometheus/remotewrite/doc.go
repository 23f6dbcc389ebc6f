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
// invalid, and its reason is about one of them at most. The client then looks for the
// rejected samples: it sends first halves of what is left until one sample is rejected alone,
// for a reason that is about it, which Result.Rejected has; everything else is
// written, in the order of the input, until the context's deadline. What the deadline leaves is in
// Result.NotSent. That deviates from the specification, which has no request after a 400
// (docs/adr/0024-rejected-samples.md, with what it costs).
//
// A request that was rejected although all it contained is accepted in smaller ones was too
// large, as after 413: the size that passed is remembered for ten minutes.
//
// A receiver of 2.0 that reports how much it wrote with its 400 has processed the request:
// nothing is sent again, the difference is rejected, and of it the series that the message
// names. Without these headers, which a proxy may have sent, the client looks as with 1.0.
//
// # Order and repetition
//
// Prometheus accepts the samples of one series in the order of their timestamps. Within a
// Series the client sorts them; requests are sent one after the other, in the order of the
// input. Sending a series' newest sample again is harmless. Older ones are rejected by a
// receiver whose out_of_order_time_window is 0, which costs a request for each sample that is
// stored already: set the window to the longest replay or more.
package remotewrite
