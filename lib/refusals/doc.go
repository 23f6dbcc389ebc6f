// Package refusals brings the tokens that the authorizer refuses into the audit trail.
//
// The authorizer has no database and must not wait for one, so it counts: a Collector
// adds refusals up in memory and publishes the sums as a Report beside an invocation.
// An event bus leads reports to the function with the database, whose Recorder appends
// each as one entry of the trail.
//
// # What is bounded
//
// Whoever sends bad tokens decides how many there are, from where and what they claim.
// Everything else is fixed:
//
//   - A report has at most MaxLines lines. A line is a reason, an address, a route, a
//     key's id and a claimed subject. An address has at most MaxLinesOfSource; what else
//     comes from it is added up under the reason Other, and what has no line left under
//     Other without an address. Nothing goes uncounted: the numbers of a report's lines
//     sum to the refusals.
//   - A process publishes a report at once after a quiet time and then at most one in an
//     interval (10 s), so the trail grows by an entry of at most MaxReportBytes in 10 s and
//     environment, whatever is sent.
//   - An invocation waits for the report that it began at most Linger (25 ms); see package
//     metrics for why it waits at all.
//
// # What may be lost, and what not
//
// A report that could not be published is kept as it is, with its id, and is published
// again in the next interval; what is refused meanwhile is added up for the report after
// it. A report whose publication ended in doubt may thus arrive twice, and an event bus
// delivers at least once anyway: the id makes the second one harmless. When the
// environment ends (SIGTERM) what is left is published within the 300 ms that Lambda
// gives. A process that is killed takes what it has not published with it; the function's
// log still has a line for each refusal.
//
// # What is not counted
//
// API Gateway answers a request without an Authorization header itself (401), and keeps
// the authorizer's answer to a header for some minutes: the same bad token is counted
// once in that time. The access log has every request.
package refusals
