// Package audit looks at a running platform from outside and says what is well and
// what is not: its figures, its API as each role, its tokens and keys, its
// certificate and headers, how fast it reads, what consumers gave up, and whether
// its audit trail is whole.
//
// A check never changes what it looks at. Reads are made as they are; a change is
// asked for in a way that everybody is refused, and whoever may make it otherwise
// than who may not: without If-Match (428), with a member that nothing knows (400),
// of a thing that does not exist (404). A change that goes through is a failure.
//
// Each finding is pass, warn or fail, with what was found and what to do. What could
// not be looked at is never a pass.
package audit
