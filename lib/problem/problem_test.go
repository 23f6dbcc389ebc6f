package problem_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/insighthub/insighthub/lib/problem"
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

func TestMarshalRejectsReservedNames(t *testing.T) {
	t.Parallel()
	out, err := json.Marshal(problem.Document{Status: 400, Extensions: map[string]any{"status": 200}})
	if err == nil {
		t.Errorf("got %s, want an error", out)
	}
}
