// Package lambda runs real function binaries the way AWS Lambda runs them on
// the provided.al2023 runtime: one process per execution environment, which
// fetches its invocations from a Runtime API of its own.
//
// # Environments
//
// Each environment is one process of the function's binary and one HTTP
// listener on loopback, whose address the process finds in
// AWS_LAMBDA_RUNTIME_API. It serves one invocation at a time. An invocation
// goes to the idle environment that was used last; when all are busy and the
// concurrency allows, a new one is started (a cold start). Environments that
// stay idle are stopped.
//
// A reserved concurrency refuses what is above it, as in Lambda. The bound of
// the host is one that Lambda does not have: with MaxWait invocations wait for
// their turn there.
//
// # Runtime API, version 2018-06-01
//
//	GET  /runtime/invocation/next           blocks; 200 with the payload
//	POST /runtime/invocation/{id}/response  202, or 413 above the response limit
//	POST /runtime/invocation/{id}/error     202; the body is the error document
//	POST /runtime/init/error                202; the start has failed
//
// # What ends an invocation
//
//	response              Result.Payload is what the function returned
//	error                 Result.FunctionError "Unhandled", the payload is the function's error document
//	timeout               the process is killed; errorType Sandbox.Timedout
//	exit of the process   errorType Runtime.ExitError
//	memory above MemoryMB the process is killed; errorType Runtime.ExitError, "signal: killed"
//
// A response makes its environment available at once: the next invocation
// waits for the process to ask for it. After an error the environment is
// available again when the process has asked for its next invocation, because
// a Go function that panicked reports its error and then exits.
//
// # What is not imitated
//
// The share of a processor that Lambda grants by memory, the freeze between
// invocations, extensions, and the retries of asynchronous invocations. The
// environment holds no GOMEMLIMIT, as in Lambda: a function that wants one
// gets it from the template. Memory is watched once a second, so that a
// process may exceed its bound for as long.
package lambda
