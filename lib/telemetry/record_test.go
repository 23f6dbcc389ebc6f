package telemetry_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestSequenceValidate(t *testing.T) {
	for s, ok := range map[telemetry.Sequence]bool{
		"0": true, "7": true, "49590338271490256608559692538361571095921575989136588898": true,
		telemetry.Sequence(strings.Repeat("9", 129)): true, telemetry.Sequence(strings.Repeat("9", 130)): false,
		"": false, "00": false, "07": false, "-1": false, "1.5": false, "1e3": false, "٣": false, "1_0": false, "LATEST": false,
	} {
		if err := s.Validate(); (err == nil) != ok || !ok && !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestSequencesCompareAsNumbers(t *testing.T) {
	number := rapid.StringMatching(`0|[1-9][0-9]{0,60}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		if got := telemetry.Sequence(a).Compare(telemetry.Sequence(b)); got != x.Cmp(y) {
			t.Fatalf("%s to %s: %d", a, b, got)
		}
	})
	if telemetry.Sequence("").Compare("0") >= 0 {
		t.Error("the empty one is not less than all others")
	}
}
