package whip

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pion/webrtc/v4"
)

// maxCandidates bounds the candidates of one fragment.
const maxCandidates = 128

// fragment is an SDP fragment (RFC 8840): ICE credentials and candidates.
type fragment struct {
	ufrag, pwd string
	candidates []webrtc.ICECandidateInit
	// complete: a=end-of-candidates was seen.
	complete bool
}

// parseFragment reads a fragment. Lines that are not about ICE are skipped.
func parseFragment(text string) (fragment, error) {
	var f fragment
	mid, line := "", -1
	for raw := range strings.Lines(text) {
		l := strings.TrimRight(raw, "\r\n")
		name, value, _ := strings.Cut(l, ":")
		switch {
		case l == "":
		case len(l) < 2 || l[1] != '=':
			return fragment{}, fmt.Errorf("line %.40q is not of the form x=value", l)
		case strings.HasPrefix(l, "m="):
			line++
			mid = ""
		case name == "a=mid":
			mid = value
		case name == "a=ice-ufrag":
			if !iceChars(value, 4) {
				return fragment{}, errors.New("a=ice-ufrag is not 4 to 256 characters of A-Z a-z 0-9 + /")
			}
			f.ufrag = value
		case name == "a=ice-pwd":
			if !iceChars(value, 22) {
				return fragment{}, errors.New("a=ice-pwd is not 22 to 256 characters of A-Z a-z 0-9 + /")
			}
			f.pwd = value
		case name == "a=candidate":
			if len(f.candidates) == maxCandidates {
				return fragment{}, fmt.Errorf("more than %d candidates", maxCandidates)
			}
			f.candidates = append(f.candidates, candidate("candidate:"+value, mid, line, f.ufrag))
		case l == "a=end-of-candidates":
			f.complete = true
		}
	}
	if f.ufrag == "" && len(f.candidates) == 0 && !f.complete {
		return fragment{}, errors.New("it holds neither credentials nor candidates")
	}
	return f, nil
}

func candidate(text, mid string, line int, ufrag string) webrtc.ICECandidateInit {
	c := webrtc.ICECandidateInit{Candidate: text}
	if mid != "" {
		c.SDPMid = &mid
	}
	if index := uint16(max(line, 0)); mid == "" {
		c.SDPMLineIndex = &index
	}
	if ufrag != "" {
		c.UsernameFragment = &ufrag
	}
	return c
}

// iceChars reports whether s is at least least ice-chars (RFC 8839, section 5.4).
func iceChars(s string, least int) bool {
	if len(s) < least || len(s) > 256 {
		return false
	}
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// renew returns an offer with the fragment's credentials in place of its own, and without candidates.
func (f fragment) renew(offer string) string {
	var b strings.Builder
	for raw := range strings.Lines(offer) {
		l := strings.TrimRight(raw, "\r\n")
		switch {
		case strings.HasPrefix(l, "a=ice-ufrag:"):
			l = "a=ice-ufrag:" + f.ufrag
		case strings.HasPrefix(l, "a=ice-pwd:"):
			l = "a=ice-pwd:" + f.pwd
		case strings.HasPrefix(l, "a=candidate:"), l == "a=end-of-candidates":
			continue
		}
		b.WriteString(l + "\r\n")
	}
	return b.String()
}

// fragmentOf returns the fragment of a description: its credentials, and the candidates of its first section that has any.
func fragmentOf(description string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", attribute(description, "ice-ufrag"), attribute(description, "ice-pwd"))
	var section []string
	found := false
	flush := func() {
		if found {
			for _, l := range section {
				b.WriteString(l + "\r\n")
			}
			b.WriteString("a=end-of-candidates\r\n")
		}
	}
	for raw := range strings.Lines(description) {
		l := strings.TrimRight(raw, "\r\n")
		switch {
		case strings.HasPrefix(l, "m="):
			if found {
				flush()
				return b.String()
			}
			section = []string{l}
		case strings.HasPrefix(l, "a=mid:"):
			section = append(section, l)
		case strings.HasPrefix(l, "a=candidate:"):
			section = append(section, l)
			found = true
		}
	}
	flush()
	return b.String()
}

// attribute returns the value of an attribute's first occurrence in a description.
func attribute(description, name string) string {
	for raw := range strings.Lines(description) {
		if value, ok := strings.CutPrefix(strings.TrimRight(raw, "\r\n"), "a="+name+":"); ok {
			return value
		}
	}
	return ""
}

// checkOffer checks what pion does not, or says less clearly: one video section, of the action's direction.
func checkOffer(offer string, action Action) error {
	bad := func(status int, detail string) error { return &rejection{status, detail, webrtc.ErrUnknownType} }
	if !strings.HasPrefix(offer, "v=0") {
		return bad(http.StatusBadRequest, "The offer is not a session description: it does not begin with v=0.")
	}
	videos, direction, inVideo := 0, "sendrecv", false
	for raw := range strings.Lines(offer) {
		switch l := strings.TrimRight(raw, "\r\n"); {
		case strings.HasPrefix(l, "m="):
			if inVideo = strings.HasPrefix(l, "m=video "); inVideo {
				videos++
			}
		case inVideo && (l == "a=sendonly" || l == "a=recvonly" || l == "a=inactive" || l == "a=sendrecv"):
			direction = l[2:]
		}
	}
	wrong := "sendonly"
	if action == Publish {
		wrong = "recvonly"
	}
	switch {
	case videos != 1:
		return bad(http.StatusUnprocessableEntity, fmt.Sprintf("The offer has %d video sections, want one.", videos))
	case direction == wrong || direction == "inactive":
		return bad(http.StatusUnprocessableEntity, fmt.Sprintf("The offer's video is %s: that does not %s.", direction, action))
	case attribute(offer, "fingerprint") == "" || attribute(offer, "ice-ufrag") == "" || attribute(offer, "ice-pwd") == "":
		return bad(http.StatusBadRequest, "The offer lacks a=fingerprint, a=ice-ufrag or a=ice-pwd.")
	}
	return nil
}
