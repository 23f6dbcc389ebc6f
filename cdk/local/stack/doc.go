// Package stack runs a synthesised stage on one machine: it reads the plan of a cloud
// assembly, starts an emulator for each resource in the order of their dependencies, and
// stops them in the reverse order.
//
// The state folder holds:
//
//	lock            locked by the running instance (flock)
//	stack.json      addresses, while the stack runs; see package stackfile
//	secrets.json    generated secrets
//	kms.json        the keys that sign tokens, so that these stay valid
//	stream.state    the stream's records and the consumers' checkpoints, after a clean stop
//	postgres/       the database
//	metrics/        Prometheus's samples, and the template's rules
//	objects/        the buckets
//	logs/           one file per function, and the stack's own
//
// The stream is in memory: records that were accepted and not yet stored survive Ctrl-C
// and the end of any process but this one.
package stack
