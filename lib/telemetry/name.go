package telemetry

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MaxTraceBytes bounds a batch's trace header.
const MaxTraceBytes = 512

// ValidName returns why name is not valid for a site, gateway, device or metric, or nil: a
// name is 1 to MaxNameBytes bytes of UTF-8 without control characters.
// The error wraps ErrInvalid and does not contain the name.
func ValidName[S ~string](name S) error {
	if name == "" {
		return fmt.Errorf("%w: name: want 1 to %d bytes, have 0", ErrInvalid, MaxNameBytes)
	}
	return validText("name", string(name), MaxNameBytes)
}

func validText(what, s string, maxBytes int) error {
	if len(s) > maxBytes {
		return fmt.Errorf("%w: %s: want at most %d bytes, have %d", ErrInvalid, what, maxBytes, len(s))
	}
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("%w: %s: byte %d is not UTF-8", ErrInvalid, what, i)
		}
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: %s: control character %U at byte %d", ErrInvalid, what, r, i)
		}
		i += size
	}
	return nil
}
