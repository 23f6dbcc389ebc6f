// Package refusals counts what callers can repeat without limit, such as rejected tokens, for the
// audit trail.
//
// A Collector counts in memory and publishes the counts as Reports in the background of an
// invocation: to the database, or, for the authorizer, which has none and must not wait for one, as
// events. An EventBridge rule routes these to the function with the database, whose Recorder adds
// them to the sums of the trail. The sums of all processes become entries when the trail is
// sealed: of unknown callers one entry per minute (docs/adr/0035-trail-sealing.md).
//
// # Limits
//
// The senders of bad tokens decide how many there are, where they come from and what they
// claim. Everything else is limited:
//
//   - A report has at most MaxLines lines. A line is a reason, an address, a route, a
//     key id and a claimed subject. An address has at most MaxLinesOfSource; its other
//     rejections are counted under the reason Other, and those that find no free line
//     under Other without an address. Every rejection is counted: the numbers of a
//     report's lines sum to the number of rejections.
//   - A process publishes a report at once after an idle interval, and then at most one
//     per interval (10 s), whatever is sent. A report of known callers that is full is
//     published before its interval ends, so that none of them is summed under Other.
//   - An invocation waits at most Linger (25 ms) for the publication that it started; see
//     package metrics for why it waits at all.
//
// # What may be lost
//
// A report is published when it is due, in an invocation or by a timer while the process runs. Lambda
// freezes it between invocations: what was counted in the last interval then waits for the next
// invocation of that environment, or for its end.
//
// A report that could not be published is retried unchanged, with its id, in the next
// interval; later rejections are counted for the next report. If the outcome of a
// publication is unknown the report may thus arrive twice, as EventBridge delivers at least
// once anyway: the recorder ignores an id that is recorded already. On SIGTERM the rest is
// published within the 300 ms that Lambda grants. A process that is killed loses what it
// has not published; the function's log still has a line for each rejection.
//
// # What is not counted
//
// API Gateway responds to a request without an Authorization header itself (401), and
// caches the authorizer's response to a header for some minutes: the same bad token is
// counted once in that time. The access log has every request.
package refusals
