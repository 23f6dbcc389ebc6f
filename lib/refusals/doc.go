// Package refusals records the tokens that the authorizer rejects in the audit trail.
//
// The authorizer has no database and must not wait for one. So a Collector counts
// rejections in memory and publishes the counts as a Report in the background of an
// invocation. An EventBridge rule routes reports to the function with the database, whose
// Recorder appends each as one entry of the trail.
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
//     per interval (10 s). So an environment adds at most one entry of MaxReportBytes to
//     the trail in 10 s, whatever is sent.
//   - An invocation waits at most Linger (25 ms) for the publication that it started; see
//     package metrics for why it waits at all.
//
// # What may be lost
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
