// Package outage takes Prometheus away from a stack that is under load, gives it
// back, and finds out what became of the figures meanwhile.
//
// The stream is the buffer for such an outage: the bridge's invocations fail and
// their records are delivered again until the windows that they close are written.
// So when Prometheus is back, each window has to arrive, in order and once, with the
// values that the database makes of the readings.
//
// The stack starts its Prometheus again whenever it ends. Run therefore gives it a
// folder of its own with a link to the server, takes the link away, and then ends
// the process: what the stack sees is a server that does not start.
package outage
