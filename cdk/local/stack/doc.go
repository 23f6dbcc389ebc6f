// Package stack runs a synthesised stage on one machine: it reads the plan of a cloud
// assembly, starts a body for each resource in the order in which they need each
// other, and takes them down in the opposite one.
//
// What is kept between two runs lies in the state folder:
//
//	lock            held by the instance that runs (flock)
//	stack.json      where everything is, while it answers; see Info
//	secrets.json    generated secrets
//	kms.json        the keys that sign tokens, so that these stay valid
//	stream.state    the stream's records and the consumers' checkpoints, of a clean end
//	postgres/       the database
//	metrics/        Prometheus's samples, and the template's rules
//	objects/        the buckets
//	logs/           one file per function, and the stack's own
//
// The stream lives in memory: records that were accepted and not yet stored survive
// Ctrl-C and the death of any process but this one.
package stack
