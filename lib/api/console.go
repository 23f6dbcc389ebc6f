package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/turn"
)

// ClientReports stores what consoles report about themselves.
type ClientReports interface {
	AddClientReport(ctx context.Context, r directory.ClientReport) error
}

// ICE configures the servers that peers need to reach each other.
type ICE struct {
	// STUN and TURN are addresses such as stun:stun.example.com:3478.
	STUN, TURN []string
	// Secret is shared with the TURN servers.
	Secret []byte
}

func (h *Handler) consoleRoutes() []route {
	return []route{
		{pattern: "POST /v1/sites/{site}/client-reports", role: directory.Viewer, serve: h.addClientReport},
		{pattern: "GET /v1/sites/{site}/ice-servers", role: directory.Viewer, gateways: true, independent: true, serve: h.getICEServers},
	}
}

const maxDetailBytes = 16 << 10

func (h *Handler) addClientReport(c *call) error {
	var request struct {
		Kind    string          `json:"kind" required:""`
		Message string          `json:"message" required:""`
		Detail  json.RawMessage `json:"detail"`
	}
	err := c.body(&request, func(f *fields) {
		if len(request.Detail) == 0 {
			request.Detail = json.RawMessage("{}")
		}
		f.require(slices.Contains([]string{"error", "latency", "quality"}, request.Kind), "kind", "must be error, latency or quality")
		f.require(request.Message != "", "message", "must not be empty")
		f.text("message", request.Message)
		f.require(request.Detail[0] == '{' && len(request.Detail) <= maxDetailBytes, "detail", "must be an object of at most 16 KiB")
	})
	if err != nil {
		return err
	}
	err = h.config.ClientReports.AddClientReport(c.Context(), directory.ClientReport{
		Site: c.site(), Subject: c.caller.Subject, Kind: request.Kind, Message: request.Message, Detail: string(request.Detail),
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

type iceServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// getICEServers responds in the form of RTCConfiguration.iceServers, with credentials of the
// caller's own that expire.
func (h *Handler) getICEServers(c *call) error {
	servers := []iceServer{}
	if len(h.config.ICE.STUN) > 0 {
		servers = append(servers, iceServer{URLs: h.config.ICE.STUN})
	}
	if len(h.config.ICE.TURN) > 0 && len(h.config.ICE.Secret) > 0 {
		name, password := turn.Credential(h.config.ICE.Secret, c.caller.Subject, c.now.Add(turn.Lifetime))
		servers = append(servers, iceServer{h.config.ICE.TURN, name, password})
	}
	return c.respondUncached(http.StatusOK, map[string]any{"ice_servers": servers, "expires_in": int(turn.Lifetime.Seconds())})
}
