// Package audit checks a running platform from outside: its metrics and alerts, its API as
// each role, its tokens and keys, its certificate and headers, its read latencies, the
// records that consumers could not store, and the hash chain of its audit trail. In other
// texts it is called the self-check.
//
// A check changes nothing that it checks. Reads are real reads; a write is requested in
// a form that the API rejects for every caller, with another status for callers who have
// the right: without If-Match (428), with an unknown member (400), or of an object that
// does not exist (404). A write that succeeds is a failed check.
//
// Each finding is pass, warn or fail, with what was found and what to do. A check that
// could not be performed never passes.
package audit
