package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what TURN servers compute (RFC 8489's long-term credentials by shared secret)
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// ClientReports takes what consoles say of themselves.
type ClientReports interface {
	AddClientReport(ctx context.Context, r directory.ClientReport) error
}

// ICE is what a peer needs to reach another.
type ICE struct {
	// STUN and TURN are addresses such as stun:stun.example.com:3478.
	STUN, TURN []string
	// Secret is what the TURN servers share with the platform.
	Secret []byte
}

// iceLifetime is how long a peer may make new relays with its credentials.
const iceLifetime = time.Hour

func (h *Handler) consoleRoutes() []route {
	return []route{
		{pattern: "POST /v1/sites/{site}/client-reports", role: directory.Viewer, serve: h.addClientReport},
		{pattern: "GET /v1/sites/{site}/ice-servers", role: directory.Viewer, serve: h.getICEServers},
	}
}

const maxDetailBytes = 16 << 10

func (h *Handler) addClientReport(c *call) error {
	var request struct {
		Kind    string          `json:"kind"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	if len(request.Detail) == 0 {
		request.Detail = json.RawMessage("{}")
	}
	var f fields
	f.want(request.Kind == "error" || request.Kind == "latency" || request.Kind == "quality", "kind", "want error, latency or quality")
	f.want(request.Message != "", "message", "want a text")
	f.text("message", request.Message)
	f.want(request.Detail[0] == '{' && len(request.Detail) <= maxDetailBytes, "detail", "want an object of at most 16 KiB")
	if err := f.err(); err != nil {
		return err
	}
	err := h.config.ClientReports.AddClientReport(c.Context(), directory.ClientReport{
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

// getICEServers answers in the form of RTCConfiguration.iceServers, with credentials
// that lapse: the user name is the time at which they do, the password its HMAC.
func (h *Handler) getICEServers(c *call) error {
	servers := []iceServer{}
	if len(h.config.ICE.STUN) > 0 {
		servers = append(servers, iceServer{URLs: h.config.ICE.STUN})
	}
	if len(h.config.ICE.TURN) > 0 && len(h.config.ICE.Secret) > 0 {
		name := strconv.FormatInt(c.now.Add(iceLifetime).Unix(), 10) + ":" + c.caller.Subject
		mac := hmac.New(sha1.New, h.config.ICE.Secret)
		mac.Write([]byte(name))
		servers = append(servers, iceServer{h.config.ICE.TURN, name, base64.StdEncoding.EncodeToString(mac.Sum(nil))})
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return lambdahttp.WriteJSON(c.w, http.StatusOK, map[string]any{"ice_servers": servers, "expires_in": int(iceLifetime.Seconds())})
}
