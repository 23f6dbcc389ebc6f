package telemetry

import (
	"errors"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for _, name := range []DeviceName{
		"a", "press 1/äußere Spindel", "温度", DeviceName(strings.Repeat("x", MaxNameBytes)), "\ufffd", "~",
	} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []MetricName{
		"", MetricName(strings.Repeat("x", MaxNameBytes+1)), "\x00", "a\x1f", "a\x7f", "\u0080", "\u009f", "\xff", "a\xc3",
	} {
		if err := ValidName(name); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: have %v, want ErrInvalid", name, err)
		}
	}
}
