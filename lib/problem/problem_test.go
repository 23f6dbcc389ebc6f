package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestMarshal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc  problem.Document
		want string
	}{
		"status alone": {
			problem.Document{Status: http.StatusForbidden},
			`{"type":"about:blank","title":"Forbidden","status":403}`,
		},
		"whole": {
			problem.Document{
				Type: problem.TypeOf("x"), Title: "T", Status: 422, Detail: `say "why"`, Instance: "urn:i",
				Extensions: map[string]any{"b": []int{1}, "a": 2},
			},
			`{"type":"urn:insighthub:problem:x","title":"T","status":422,"detail":"say \"why\"","instance":"urn:i","a":2,"b":[1]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(c.doc)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMarshalRefusesOwnNames(t *testing.T) {
	t.Parallel()
	_, err := json.Marshal(problem.Document{Status: 400, Extensions: map[string]any{"status": 200}})
	if !errors.Is(err, telemetry.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for want, err := range map[int]error{
		200: nil,
		400: fmt.Errorf("x: %w", telemetry.ErrInvalid),
		404: fmt.Errorf("x: %w", telemetry.ErrNotFound),
		409: fmt.Errorf("x: %w", telemetry.ErrConflict),
		503: fmt.Errorf("x: %w", telemetry.ErrUnavailable),
		500: errors.New("x"),
	} {
		if got := problem.StatusOf(err); got != want {
			t.Errorf("StatusOf(%v) = %d, want %d", err, got, want)
		}
	}
}
