package main

import (
	"errors"
	"testing"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestICEServers(t *testing.T) {
	t.Parallel()
	ice, err := iceServers(t.Context(), iceSettings{stun: "stun:a.test:3478 stuns:b.test"}, nil)
	if err != nil || len(ice.STUN) != 2 || len(ice.TURN) > 0 {
		t.Errorf("got %+v, %v", ice, err)
	}
	for _, bad := range []iceSettings{{stun: "http://a.test"}, {turn: "turn:"}, {turn: "turn:a.test"}, {secretARN: "arn"}} {
		if _, err := iceServers(t.Context(), bad, nil); !errors.Is(err, telemetry.ErrInvalid) {
			t.Errorf("%+v: got %v, want telemetry.ErrInvalid", bad, err)
		}
	}
}

// TestICECredentials checks that TURN has credentials and STUN has none.
func TestICECredentials(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	var got struct {
		Servers []struct {
			URLs       []string `json:"urls"`
			Username   string   `json:"username"`
			Credential string   `json:"credential"`
		} `json:"ice_servers"`
	}
	p.get(t, apitest.Person("eve", "plant-1=viewer"), "/v1/sites/plant-1/ice-servers", &got)
	if len(got.Servers) != 2 || got.Servers[0].Username != "" ||
		got.Servers[1].URLs[0] != "turn:turn.test:3478" || len(got.Servers[1].Credential) != 28 {
		t.Errorf("got %+v, want STUN without and TURN with credentials", got)
	}
	p.Do(t, apitest.Person("eve", "plant-2=viewer"), "GET", "/v1/sites/plant-1/ice-servers", "").Want(t, 404)
}
