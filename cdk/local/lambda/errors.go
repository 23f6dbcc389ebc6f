package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What Invoke returns when the function was not run, or not to its end.
var (
	// ErrThrottled: no concurrency is left (TooManyRequestsException, 429). The
	// same call may succeed later.
	ErrThrottled = errors.New("throttled: no concurrency left")
	// ErrTooLarge: the payload is above MaxRequestBytes (RequestTooLargeException,
	// 413). It will be refused again.
	ErrTooLarge = errors.New("request payload too large")
	// ErrClosed: the function has been closed. Whether an invocation that was
	// under way took effect is not known.
	ErrClosed = errors.New("function closed")
)

// Unhandled is what Result.FunctionError says of every failure, as the custom
// runtimes of Lambda report them.
const Unhandled = "Unhandled"

// failure is the document in which Lambda reports an error of the function.
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
