// Package constructs provides the CDK constructs of the stacks: a Go function, a
// Kinesis consumer, alarms and a TimescaleDB instance. Each sets the properties that
// must agree with each other in one place.
package constructs
