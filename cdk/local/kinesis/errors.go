package kinesis

import (
	"errors"
	"fmt"

	"github.com/insighthub/insighthub/cdk/local/awsjson"
)

// ErrorType is the name of an error in the protocol.
type ErrorType = awsjson.ErrorType

// Error is an error response.
type Error = awsjson.Error

// The errors of the emulator's responses.
const (
	ResourceNotFound      ErrorType = "ResourceNotFoundException"
	ResourceInUse         ErrorType = "ResourceInUseException"
	InvalidArgument       ErrorType = "InvalidArgumentException"
	Validation            ErrorType = "ValidationException"
	LimitExceeded         ErrorType = "LimitExceededException"
	ExpiredIterator       ErrorType = "ExpiredIteratorException"
	ExpiredNextToken      ErrorType = "ExpiredNextTokenException"
	ThroughputExceeded    ErrorType = "ProvisionedThroughputExceededException"
	Serialization                   = awsjson.Serialization
	UnknownOperation                = awsjson.UnknownOperation
	RequestEntityTooLarge           = awsjson.RequestEntityTooLarge
)

const (
	memoryMessage             = "The memory of the local stream is full, and no record can be freed: a consumer has a backlog."
	maxValidationValueInError = 64
)

// IsType reports whether err is, or wraps, an Error of type t.
func IsType(err error, t ErrorType) bool {
	var e *Error
	return errors.As(err, &e) && e.Type == t
}

func errorf(t ErrorType, format string, args ...any) *Error {
	return awsjson.Errorf(t, format, args...)
}

// invalid returns the error of a value that violates the API's model.
func invalid(value any, member, constraint string) *Error {
	v := fmt.Sprint(value)
	if len(v) > maxValidationValueInError {
		v = v[:maxValidationValueInError] + "…"
	}
	return errorf(Validation, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", v, member, constraint)
}
