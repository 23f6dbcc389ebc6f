package rtc

import "fmt"

// Code is the code of an error message.
type Code string

// The codes of the protocol.
const (
	InvalidMessage     Code = "invalid_message"
	UnknownType        Code = "unknown_type"
	NotGreeted         Code = "not_greeted"
	AlreadyGreeted     Code = "already_greeted"
	Unauthorized       Code = "unauthorized"
	TokenExpired       Code = "token_expired"
	SubjectMismatch    Code = "subject_mismatch"
	Forbidden          Code = "forbidden"
	NotInRoom          Code = "not_in_room"
	UnknownPeer        Code = "unknown_peer"
	TooManyRooms       Code = "too_many_rooms"
	TooManyMessages    Code = "too_many_messages"
	TooManySessions    Code = "too_many_sessions"
	MessageTooBig      Code = "message_too_big"
	InvalidUTF8        Code = "invalid_utf8"
	SlowReader         Code = "slow_reader"
	InvalidSDP         Code = "invalid_sdp"
	InvalidCandidate   Code = "invalid_candidate"
	Replaced           Code = "replaced"
	GoingAway          Code = "going_away"
	Unavailable        Code = "unavailable"
	UnsupportedVersion Code = "unsupported_version"
)

// Action is what a client does after a connection was closed.
type Action string

// The actions.
const (
	// Reconnect: open a new socket after a delay with jitter, and resume.
	Reconnect Action = "reconnect"
	// Renew: get a new access token, then as Reconnect.
	Renew Action = "renew"
	// Stop: do not reconnect; another socket has the session, or the client is at fault.
	Stop Action = "stop"
)

// CodeInfo describes a code.
type CodeInfo struct {
	Code Code
	// Close is the WebSocket close code (RFC 6455, 7.4) with which the service closes the
	// connection after this error, or 0 if it never does.
	Close int
	// Always says that the connection is closed whenever the error occurs.
	Always bool
	// Then is what a client does after that close; empty if there is none.
	Then Action
	// Meaning is for the reader of the protocol.
	Meaning string
}

// Codes returns all codes in the order of the document.
func Codes() []CodeInfo {
	return []CodeInfo{
		{InvalidMessage, 0, false, "", "the text is not a message of the protocol: not a JSON object, a repeated member, a wrong type"},
		{UnknownType, 0, false, "", "the member type is not one that a client may send"},
		{NotGreeted, 4400, true, Reconnect, "another message came before hello, or no hello came within 5 s"},
		{AlreadyGreeted, 0, false, "", "hello came a second time; the session goes on"},
		{Unauthorized, 4401, true, Renew, "the token is not valid, or was denied"},
		{TokenExpired, 4401, true, Renew, "the token expired and was not renewed"},
		{SubjectMismatch, 0, false, "", "the new token belongs to somebody else; the session goes on with the old one"},
		{Forbidden, 0, false, "", "the token does not grant the room"},
		{NotInRoom, 0, false, "", "the session has not joined that room"},
		{UnknownPeer, 0, false, "", "no such peer is in a room of this session"},
		{TooManyRooms, 0, false, "", "the session is in as many rooms as it may be"},
		{TooManyMessages, 4429, false, Reconnect, "the message was dropped; retry_after_ms says when the next is accepted"},
		{TooManySessions, 4429, true, Reconnect, "the subject or the address has as many sessions as it may have"},
		{MessageTooBig, 1009, true, Reconnect, "the message has more than 65,536 bytes"},
		{InvalidUTF8, 1007, true, Reconnect, "the message is not valid UTF-8"},
		{SlowReader, 4408, true, Reconnect, "the client does not read what the service sends"},
		{InvalidSDP, 0, false, "", "the description is not one of WebRTC"},
		{InvalidCandidate, 0, false, "", "the candidate does not follow RFC 8839"},
		{Replaced, 4409, true, Stop, "another socket has resumed the session"},
		{GoingAway, 1001, true, Reconnect, "the service stops"},
		{Unavailable, 1013, false, Reconnect, "something that the service needs cannot be reached; a retry may succeed"},
		{UnsupportedVersion, 4406, true, Stop, "the service does not speak this version"},
	}
}

// Info returns the description of the code.
func (c Code) Info() CodeInfo {
	for _, info := range Codes() {
		if info.Code == c {
			return info
		}
	}
	return CodeInfo{Code: c}
}

// ActionAfter returns what a client does after a close with that code: Reconnect for codes
// that the protocol does not have, such as 1006 of a lost connection.
func ActionAfter(closeCode int) Action {
	for _, info := range Codes() {
		if info.Close == closeCode && info.Then != "" {
			return info.Then
		}
	}
	return Reconnect
}

// Error is an error of the protocol. Its text is sent to the client: it has nothing of the
// internals and no secret.
type Error struct {
	Code    Code
	Message string
	// Re is the id of the message at fault, if it could be read.
	Re string
	// RetryAfterMS is when a retry makes sense, in milliseconds; 0 if the code says it all.
	RetryAfterMS int64
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf returns an Error.
func Errorf(code Code, format string, arguments ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, arguments...)}
}

// Reply returns the message that reports the error.
func (e *Error) Reply() ErrorMessage {
	return ErrorMessage{Re: e.Re, Code: e.Code, Message: e.Message, RetryAfterMS: e.RetryAfterMS}
}
