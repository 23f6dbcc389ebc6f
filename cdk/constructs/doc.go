// Package constructs holds the parts of which the stacks are made: a Go
// function, a Kinesis consumer, alarms and a TimescaleDB instance. Each sets
// together what has to be right together.
package constructs
