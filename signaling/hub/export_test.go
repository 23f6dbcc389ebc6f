package hub

import (
	"bytes"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
)

// Echo makes the hub return every message to its sender, and accept clients that name no
// subprotocol: the conformance tests check the upgrade, the reader and the writer of the
// service with it.
func Echo(h *Hub) http.Handler {
	h.handle = func(s *session, kind int, raw []byte, _ time.Time) *rtc.Error {
		code := 0
		switch {
		case len(raw) > rtc.MaxMessageBytes:
			code = rtc.MessageTooBig.Info().Close
		case kind == websocket.TextMessage && !utf8.Valid(raw):
			code = rtc.InvalidUTF8.Info().Close
		}
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		if code == 0 {
			s.out.push(entry{kind: kind, data: bytes.Clone(raw)})
			return nil
		}
		// Without the message that says why, which is not the suite's business.
		s.out.push(entry{kind: websocket.CloseMessage, data: websocket.FormatCloseMessage(code, "")})
		s.out.ending, s.out.byService = true, true
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := h.address(r)
		h.admission.enter(address)
		h.accept(w, r, address)
	})
}

// Slots returns how many sockets there are, and how many of them the fullest slot has.
func Slots(h *Hub) (sockets, fullest int) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, slot := range h.sockets {
		sockets += len(slot)
		fullest = max(fullest, len(slot))
	}
	return sockets, fullest
}

// SweptTogether is sweptTogether, and the number of slots.
func SweptTogether(open int64) (together, of int) { return sweptTogether(open), slots }
