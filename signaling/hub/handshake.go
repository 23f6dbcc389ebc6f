package hub

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// ServeHTTP opens a WebSocket. Requests that are not one are answered with a problem
// document.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address := h.address(r)
	status, reason, detail := h.check(r)
	if status == 0 && !h.admission.enter(address) {
		status, reason = http.StatusTooManyRequests, string(rtc.TooManySessions)
		detail = "Too many sockets of this address have not sent hello. Send hello, or close them."
	}
	if status != 0 {
		h.metrics.rejected.WithLabelValues(reason).Inc()
		h.log.Info("handshake rejected", "reason", reason, "status", status, "address", address)
		writeProblem(w, status, detail)
		return
	}
	h.accept(w, r, address) //nolint:contextcheck // the session lives longer than the request
}

// accept makes a session of a request that was let in.
func (h *Hub) accept(w http.ResponseWriter, r *http.Request, address string) {
	conn, err := h.upgrade.Upgrade(w, r, nil)
	if err != nil {
		h.admission.greeted(address)
		h.metrics.rejected.WithLabelValues("not_websocket").Inc()
		return // gorilla has responded
	}
	s := h.newSession(conn, address)
	h.open.Add(1)
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		h.open.Add(-1)
		h.admission.greeted(address)
		_ = conn.Close()
		return
	}
	h.metrics.sockets.Inc()
	// Each gets the next one: by the number of open sockets, those that come and go would
	// gather in one slot.
	h.lastSlot = (h.lastSlot + 1) % slots
	s.slot = h.lastSlot
	h.sockets[s.slot][s] = struct{}{}
	h.wg.Add(1)
	h.mu.Unlock()
	// A goroutine of its own, so that the stack and the buffers of the request are free.
	go s.run()
}

// check returns why a request is rejected, status 0 if it is not.
func (h *Hub) check(r *http.Request) (status int, reason, detail string) {
	switch {
	case r.URL.RawQuery != "":
		return http.StatusBadRequest, "query",
			"The URL must not have parameters: the token belongs in the message hello, because URLs are logged on the way."
	case !websocket.IsWebSocketUpgrade(r):
		return http.StatusUpgradeRequired, "not_websocket", "This path speaks WebSocket, subprotocol " + rtc.Subprotocol + "."
	case !h.originAllowed(r):
		return http.StatusForbidden, "origin", "Pages of this origin may not connect. Add it to ORIGINS."
	case !slices.Contains(websocket.Subprotocols(r), rtc.Subprotocol):
		return http.StatusBadRequest, string(rtc.UnsupportedVersion), "The WebSocket must name the subprotocol " + rtc.Subprotocol + "."
	case h.draining.Load():
		return http.StatusServiceUnavailable, string(rtc.GoingAway), "This task is about to stop. Retry: another one will respond."
	case int(h.open.Load()) >= h.config.Limits.Sessions:
		return http.StatusServiceUnavailable, "full", "This task has as many sessions as it may have. Retry later."
	}
	return 0, "", ""
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(problem.Document{Status: status, Detail: detail})
	if err != nil {
		http.Error(w, http.StatusText(status), status)
		return
	}
	header := w.Header()
	header.Set("Content-Type", problem.ContentType)
	header.Set("Cache-Control", "no-store")
	switch status {
	case http.StatusUpgradeRequired:
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		header.Set("Retry-After", "2")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// address returns the client's address without the port.
func (h *Hub) address(r *http.Request) string {
	if h.config.TrustForwarded {
		forwarded := r.Header.Values("X-Forwarded-For")
		if len(forwarded) > 0 {
			last := forwarded[len(forwarded)-1]
			if a, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
				return network(a)
			}
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return network(a)
	}
	return host
}

// network returns what one client has: an IPv4 address, or a /64 of IPv6.
func network(a netip.Addr) string {
	const site = 64
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(site); err == nil {
			return p.String()
		}
	}
	return a.String()
}

func (h *Hub) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	return len(origins) == 1 && slices.ContainsFunc(h.config.Origins, func(allowed string) bool { return matches(allowed, origins[0]) })
}

// matches compares an origin with an allowed one, whose port may be *.
func matches(allowed, origin string) bool {
	if allowed == origin {
		return true
	}
	prefix, ok := strings.CutSuffix(allowed, "*")
	if !ok {
		return false
	}
	port, ok := strings.CutPrefix(origin, prefix)
	return ok && port != "" && strings.Trim(port, "0123456789") == ""
}

// CheckOrigins returns what is wrong with the Origins of a Config, or nil. The error wraps
// telemetry.ErrInvalid.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		plain := o
		if before, ok := strings.CutSuffix(o, ":*"); ok {
			plain = before + ":1"
		}
		u, err := url.Parse(plain)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != plain ||
			strings.Contains(plain, "*") {
			return fmt.Errorf("%w: origin %q: want scheme://host or scheme://host:port", telemetry.ErrInvalid, o)
		}
		if plain == o {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%w: origin %q: only loopback hosts may have any port", telemetry.ErrInvalid, o)
		}
	}
	return nil
}
