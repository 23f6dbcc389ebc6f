package rtc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
)

// encoder is used again and again: the service encodes thousands of messages a second, and
// what they leave is garbage that it collects beside 20,000 sessions.
type encoder struct {
	out  bytes.Buffer
	json *json.Encoder
}

//nolint:gochecknoglobals // of all goroutines
var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.json = json.NewEncoder(&e.out)
	// SDP and candidates have no markup, and a few bytes count in 20,000 sessions.
	e.json.SetEscapeHTML(false)
	return e
}}

// Encode returns the JSON text of a message, the member type first. The error is that of a
// message that is larger than MaxMessageBytes, with the code MessageTooBig.
func Encode(m Message) ([]byte, error) {
	e := encoders.Get().(*encoder) // the pool has nothing else
	e.out.Reset()
	e.out.WriteString(`{"type":"`)
	e.out.WriteString(string(m.Type()))
	e.out.WriteByte('"')
	head := e.out.Len()
	if err := e.json.Encode(m); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err) // the encoder would repeat it
	}
	defer encoders.Put(e)
	text := bytes.TrimRight(e.out.Bytes(), "\n")
	if string(text[head:]) == "{}" {
		text = append(text[:head], '}')
	} else {
		text[head] = ','
	}
	// Of its exact size: the service remembers messages.
	text = append(make([]byte, 0, len(text)), text...)
	if len(text) > MaxMessageBytes {
		return nil, Errorf(MessageTooBig, "the message has %d bytes, at most %d are allowed", len(text), MaxMessageBytes)
	}
	return text, nil
}

// AppendWithSeq appends an encoded message of the service with a sequence number to b.
func AppendWithSeq(b, encoded []byte, seq int64) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, ',')
	return append(b, encoded[1:]...)
}
