package kinesis

import (
	"errors"
	"fmt"
	"net/http"
)

// ErrorType is the name of an error as the API sends it in `__type`.
type ErrorType string

// The errors that this server answers with.
const (
	ResourceNotFound          ErrorType = "ResourceNotFoundException"
	ResourceInUse             ErrorType = "ResourceInUseException"
	InvalidArgument           ErrorType = "InvalidArgumentException"
	Validation                ErrorType = "ValidationException"
	LimitExceeded             ErrorType = "LimitExceededException"
	ExpiredIterator           ErrorType = "ExpiredIteratorException"
	ExpiredNextToken          ErrorType = "ExpiredNextTokenException"
	ThroughputExceeded        ErrorType = "ProvisionedThroughputExceededException"
	Serialization             ErrorType = "SerializationException"
	UnknownOperation          ErrorType = "UnknownOperationException"
	InternalFailure           ErrorType = "InternalFailure"
	RequestEntityTooLarge     ErrorType = "RequestEntityTooLargeException"
	MissingAction             ErrorType = "MissingAction"
	memoryMessage                       = "The local stream's memory is full and nothing in it may be trimmed: a consumer is behind."
	internalMessage                     = "The server failed; its log says why."
	maxValidationValueInError           = 64
)

// Error is an answer of the API: HTTP status 400 unless it is the server's fault.
type Error struct {
	Type    ErrorType
	Message string
}

// Error returns the type and the message.
func (e *Error) Error() string { return string(e.Type) + ": " + e.Message }

func (e *Error) status() int {
	switch e.Type {
	case InternalFailure:
		return http.StatusInternalServerError
	case RequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}

// IsType reports whether err is, or wraps, an Error of type t.
func IsType(err error, t ErrorType) bool {
	var e *Error
	return errors.As(err, &e) && e.Type == t
}

func errorf(t ErrorType, format string, args ...any) *Error {
	return &Error{Type: t, Message: fmt.Sprintf(format, args...)}
}

// invalid is what the API says about a value that breaks its model.
func invalid(value any, member, constraint string) *Error {
	v := fmt.Sprint(value)
	if len(v) > maxValidationValueInError {
		v = v[:maxValidationValueInError] + "…"
	}
	return errorf(Validation, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: %s", v, member, constraint)
}
