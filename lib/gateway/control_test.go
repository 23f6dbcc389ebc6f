package gateway

import (
	"errors"
	"strings"
	"testing"
)

func TestBadControlMessages(t *testing.T) {
	for text, want := range map[string]string{
		``:                                       codeInvalid,
		`[]`:                                     codeInvalid,
		`{"type":7}`:                             codeInvalid,
		`{}`:                                     codeInvalid,
		`{"type":"\xff"}`:                        codeInvalid,
		`{"type":"reboot"}`:                      codeUnknown,
		`{"type":"history"}`:                     codeInvalid,
		"{\"type\":\"\xff\"}":                    codeInvalid,
		`{"type":"history","id":1}`:              codeInvalid,
		`{"type":"history","id":-1,"seconds":1}`: codeInvalid,
		`{"type":"history","id":4294967296,"seconds":1}`:                                       codeInvalid,
		`{"type":"history","id":1,"seconds":0}`:                                                codeInvalid,
		`{"type":"history","id":1,"seconds":121}`:                                              codeInvalid,
		`{"type":"history","id":1,"seconds":1e400}`:                                            codeInvalid,
		`{"type":"subscribe","max_hz":0}`:                                                      codeInvalid,
		`{"type":"subscribe","max_hz":1001}`:                                                   codeInvalid,
		`{"type":"subscribe","devices":[""]}`:                                                  codeInvalid,
		`{"type":"subscribe","devices":["a\u0000"]}`:                                           codeInvalid,
		`{"type":"subscribe","devices":"press"}`:                                               codeInvalid,
		`{"type":"subscribe","x":"` + strings.Repeat("x", maxControlBytes) + `"}`:              codeInvalid,
		`{"type":"subscribe","devices":["` + strings.Repeat(`a","`, maxDevices) + `b"]}`:       codeInvalid,
		`{"type":"history","id":1,"seconds":1,"devices":["` + strings.Repeat("d", 129) + `"]}`: codeInvalid,
	} {
		_, err := decodeRequest([]byte(text), 120)
		var coded *controlError
		if !errors.As(err, &coded) || coded.Code != want {
			t.Errorf("%.80s: got %v, want code %s", text, err, want)
		} else if len(coded.Message) < 10 {
			t.Errorf("%.80s: the message %q does not say what to do", text, coded.Message)
		}
	}
	for _, text := range []string{
		`{"type":"subscribe","devices":null,"later":{"x":1}}`, `{"type":"subscribe","devices":["press-01"],"max_hz":0.5}`,
		`{"type":"subscribe"}`, `{"type":"subscribe","devices":[]}`, `{"type":"unsubscribe"}`, `{"type":"stats"}`, `{"type":"cameras"}`,
		`{"type":"camera","name":null}`, `{"type":"camera","name":"press-01"}`, `{"type":"history","id":0,"seconds":60,"devices":null}`,
	} {
		if _, err := decodeRequest([]byte(text), 120); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzControl: no text makes the decoder panic, an error has a code, and what is accepted is within
// the limits.
func FuzzControl(f *testing.F) {
	for _, text := range []string{
		`{"type":"subscribe","devices":["press-01"],"max_hz":5}`, `{"type":"history","id":7,"seconds":60,"devices":null}`,
		`{"type":"camera","name":"press-01"}`, `{"type":"stats"}`, `{"type":"subscribe","max_hz":1e-300}`, `{"type":`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decodeRequest(text, 120)
		var coded *controlError
		switch {
		case err != nil && !errors.As(err, &coded):
			t.Errorf("got %v, want a coded error", err)
		case err != nil:
		case len(r.Devices) > maxDevices, r.MaxHz != nil && r.Type == "subscribe" && (!(*r.MaxHz > 0) || *r.MaxHz > maxHz):
			t.Errorf("accepted %s", text)
		}
	})
}
