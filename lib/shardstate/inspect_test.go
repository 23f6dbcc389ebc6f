package shardstate

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	const key = "shardstate/c/s/shardId-000000000000"
	body := appendTrailer(append(appendHeader(nil, nonce{1}, "42", false), "state"...), key)
	if at, err := Inspect(key, body); err != nil || at != "42" {
		t.Errorf("got %q, %v, want 42", at, err)
	}
	if _, err := Inspect(key+"1", body); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("under another key: got %v, want telemetry.ErrInvalid", err)
	}
	body[len(body)-6]++
	if _, err := Inspect(key, body); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("damaged: got %v, want telemetry.ErrInvalid", err)
	}
	notZstd := appendTrailer(append(appendHeader(nil, nonce{1}, "42", true), "state"...), key)
	if _, err := Inspect(key, notZstd); !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("not zstd: got %v, want telemetry.ErrInvalid", err)
	}
}
