// Package stacks defines the platform's CloudFormation stacks, one set for each stage.
// Data has the stores, Monitoring the managed Prometheus, Telemetry the stream and its
// consumers, Api what serves gateways and users, Audit the self-check.
// docs/adr/0001-stacks.md has the reasons for this division.
package stacks
