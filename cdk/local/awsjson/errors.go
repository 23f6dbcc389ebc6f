package awsjson

import (
	"fmt"
	"net/http"
)

// ErrorType is the name of an error, as the protocol's `__type` has it.
type ErrorType string

// Errors of the protocol itself, and those that are the server's fault.
const (
	Serialization         ErrorType = "SerializationException"
	UnknownOperation      ErrorType = "UnknownOperationException"
	RequestEntityTooLarge ErrorType = "RequestEntityTooLargeException"
	InternalFailure       ErrorType = "InternalFailure"
	KMSInternal           ErrorType = "KMSInternalException"
)

// Error is an error response.
type Error struct {
	Type    ErrorType `json:"__type"`
	Message string    `json:"message"`
}

// Errorf returns an error response with a formatted message.
func Errorf(t ErrorType, format string, args ...any) *Error {
	return &Error{Type: t, Message: fmt.Sprintf(format, args...)}
}

// Error returns the type and the message.
func (e *Error) Error() string { return string(e.Type) + ": " + e.Message }

// Status returns the HTTP status: 400 unless the server is at fault.
func (e *Error) Status() int {
	switch e.Type {
	case InternalFailure, KMSInternal:
		return http.StatusInternalServerError
	case RequestEntityTooLarge:
		return http.StatusRequestEntityTooLarge
	default:
		return http.StatusBadRequest
	}
}
