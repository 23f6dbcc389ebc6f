package rtc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Encode returns the JSON text of a message, the member type first. The error is that of a
// message that is larger than MaxMessageBytes, with the code MessageTooBig.
func Encode(m Message) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString(`{"type":"` + string(m.Type()) + `"`)
	head := out.Len()
	encoder := json.NewEncoder(&out)
	// SDP and candidates have no markup, and a few bytes count in 20,000 sessions.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(m); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	text := bytes.TrimRight(out.Bytes(), "\n")
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

// WithSeq returns an encoded message of the service with a sequence number.
func WithSeq(encoded []byte, seq int64) []byte {
	out := make([]byte, 0, len(encoded)+24)
	out = append(out, `{"seq":`...)
	out = strconv.AppendInt(out, seq, 10)
	out = append(out, ',')
	return append(out, encoded[1:]...)
}
