// Package outage stops the Prometheus of a stack under load, starts it again, and checks
// that no KPI was lost or changed meanwhile.
//
// The stream buffers such an outage: the bridge's invocations fail, and their records are
// delivered again until the windows that they close are written. When Prometheus is back,
// each window must arrive once and in order, with the values that SQL computes from the
// stored readings.
//
// The stack restarts its Prometheus whenever it ends. Run therefore gives it a folder with
// a symlink to the server, removes the link and terminates the process, so that every
// restart fails.
package outage
