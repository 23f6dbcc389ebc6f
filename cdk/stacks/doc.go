// Package stacks is the platform as CloudFormation stacks, one set per stage:
// Data keeps what must not be lost, Telemetry moves events from the stream into
// it, Api lets gateways in. docs/adr/0001-stacks.md says why they are cut there.
package stacks
