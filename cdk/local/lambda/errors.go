package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Errors of Invoke, which mean that the function did not run to its end.
var (
	// ErrThrottled: no concurrency is left (TooManyRequestsException, 429). A retry may
	// succeed.
	ErrThrottled = errors.New("throttled: no concurrency left")
	// ErrTooLarge: the payload is above MaxRequestBytes (RequestTooLargeException,
	// 413). A retry fails, too.
	ErrTooLarge = errors.New("request payload too large")
	// ErrClosed: the function is closed. Whether an invocation in flight took effect is
	// not known.
	ErrClosed = errors.New("function closed")
)

// Unhandled is Result.FunctionError of every failure, as in Lambda's custom runtimes.
const Unhandled = "Unhandled"

// failure is the document with which Lambda reports an error of the function.
type failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func failed(kind, requestID, format string, args ...any) Result {
	document, err := json.Marshal(failure{
		Message: "RequestId: " + requestID + " Error: " + fmt.Sprintf(format, args...),
		Type:    kind,
	})
	if err != nil { // two strings always encode
		document = []byte(`{}`)
	}
	return Result{Payload: document, FunctionError: Unhandled}
}

func timedOut(requestID string, after time.Duration) Result {
	return failed("Sandbox.Timedout", requestID, "Task timed out after %.2f seconds", after.Seconds())
}

func exited(requestID string, cause error) Result {
	if cause == nil {
		return failed("Runtime.ExitError", requestID, "Runtime exited without providing a reason")
	}
	return failed("Runtime.ExitError", requestID, "Runtime exited with error: %v", cause)
}

func responseTooLarge(requestID string) Result {
	return failed("Function.ResponseSizeTooLarge", requestID,
		"Response payload size exceeded maximum allowed payload size (%d bytes).", MaxResponseBytes)
}
