// Package stacks defines the platform's CloudFormation stacks, one set for each
// stage: Data stores, Monitoring is the managed Prometheus, Telemetry is the stream and
// its consumers, Api serves gateways and users, Audit is the self-check.
// docs/adr/0001-stacks.md has the reasons for this division.
package stacks
