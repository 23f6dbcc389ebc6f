// Package lambda emulates AWS Lambda: it runs function binaries as the provided.al2023
// runtime does, one process per execution environment, which fetches its invocations
// from a Runtime API of its own.
//
// # Environments
//
// Each environment is one process of the function's binary and one HTTP
// listener on loopback, whose address is in AWS_LAMBDA_RUNTIME_API. It serves one
// invocation at a time. An invocation goes to the idle environment that was used
// last; when all are busy and the concurrency allows it, a new one is started (a
// cold start). Environments that stay idle for IdleTimeout are stopped.
//
// Invocations above a reserved concurrency are throttled, as in Lambda. Lambda has
// no limit like the emulator's MaxConcurrency: with MaxWait invocations above it
// wait for their turn.
//
// # Runtime API, version 2018-06-01
//
//	GET  /runtime/invocation/next           blocks; 200 with the payload
//	POST /runtime/invocation/{id}/response  202, or 413 above the response limit
//	POST /runtime/invocation/{id}/error     202; the body is the error document
//	POST /runtime/init/error                202; the init phase failed
//
// # What ends an invocation
//
//	response              Result.Payload is what the function returned
//	error                 Result.FunctionError "Unhandled", the payload is the function's error document
//	timeout               the process is killed; errorType Sandbox.Timedout
//	exit of the process   errorType Runtime.ExitError
//	memory above MemoryMB the process is killed; errorType Runtime.ExitError, "signal: killed"
//
// After a response the environment is available immediately: the next invocation
// waits for the process to fetch it. After an error the environment is available
// once the process asks for its next invocation, because a Go function that
// panicked reports its error and then exits.
//
// # Differences from AWS
//
// Not implemented are the share of a processor in proportion to memory, the freeze
// between invocations, extensions, and the retries of asynchronous invocations. As in
// Lambda there is no GOMEMLIMIT unless the template sets it. Memory is checked once a
// second, so a process may exceed its limit for that long.
package lambda
