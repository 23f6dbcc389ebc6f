package rtc

import (
	"strconv"
	"strings"
)

// CheckSDP returns why a description is not one of WebRTC, or nil: the form of its lines
// (RFC 8866, 5), a media section, and what ICE and DTLS need (RFC 8839, RFC 8122). It does
// not read further: that is the receiving peer's. The code of the error is InvalidSDP.
func CheckSDP(sdp string) *Error {
	fault := func(line int, format string, arguments ...any) *Error {
		e := Errorf(InvalidSDP, format, arguments...)
		e.Message = "sdp, line " + strconv.Itoa(line) + ": " + e.Message
		return e
	}
	var media, active, fingerprint, ufrag, pwd bool
	line := 0
	for text := range strings.Lines(sdp) {
		line++
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		if len(text) < 2 || text[0] < 'a' || text[0] > 'z' || text[1] != '=' {
			return fault(line, "want a letter and =")
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }); i >= 0 {
			return fault(line, "control character at byte %d", i)
		}
		name, value, _ := strings.Cut(text, ":")
		switch {
		case (line == 1) != (text == "v=0"):
			return fault(line, "v=0 is the first line")
		case text[0] == 'm':
			fields := strings.Fields(text[2:])
			if len(fields) < 4 {
				return fault(line, "want m=media port protocol formats")
			}
			if _, err := strconv.ParseUint(fields[1], 10, 16); err != nil {
				return fault(line, "the port is not a number up to 65535")
			}
			// A rejected section (port 0) needs no transport, unless it is bundle-only.
			media, active = true, active || fields[1] != "0"
		case name == "a=fingerprint":
			if !validFingerprint(value) {
				return fault(line, "not a fingerprint of RFC 8122")
			}
			fingerprint = true
		case name == "a=ice-ufrag":
			if !validUfrag(value) {
				return fault(line, "not an ice-ufrag of RFC 8839: 4 to 256 characters of A-Z a-z 0-9 + /")
			}
			ufrag = true
		case name == "a=ice-pwd":
			if len(value) < 22 || !validICE(value) {
				return fault(line, "not an ice-pwd of RFC 8839: 22 to 256 characters of A-Z a-z 0-9 + /")
			}
			pwd = true
		}
	}
	switch {
	case line == 0:
		return Errorf(InvalidSDP, "sdp is empty")
	case !media:
		return Errorf(InvalidSDP, "sdp has no media section (m=)")
	case active && !fingerprint:
		return Errorf(InvalidSDP, "sdp has no a=fingerprint: WebRTC needs DTLS")
	case active && (!ufrag || !pwd):
		return Errorf(InvalidSDP, "sdp has no a=ice-ufrag and a=ice-pwd")
	}
	return nil
}

// Ufrags returns the ICE user name fragments of a description, each once: its generation.
func Ufrags(sdp string) []string {
	var all []string
next:
	for line := range strings.Lines(sdp) {
		value, ok := strings.CutPrefix(line, "a=ice-ufrag:")
		if !ok {
			continue
		}
		value = strings.TrimRight(value, "\r\n")
		for _, have := range all {
			if have == value {
				continue next
			}
		}
		all = append(all, strings.Clone(value)) // not the whole description
	}
	return all
}

// validFingerprint reports whether s is a hash function, a space and bytes in hexadecimal
// that colons separate (RFC 8122, 5).
func validFingerprint(s string) bool {
	hash, digest, ok := strings.Cut(s, " ")
	if !ok || hash == "" || len(digest)%3 != 2 {
		return false
	}
	for i := range len(digest) {
		c := digest[i]
		hex := c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
		if i%3 == 2 && c != ':' || i%3 != 2 && !hex {
			return false
		}
	}
	return true
}

func validUfrag(s string) bool { return len(s) >= 4 && validICE(s) }

// validICE reports whether s has up to 256 ice-chars (RFC 8839, 5.1).
func validICE(s string) bool {
	if len(s) > 256 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// check returns why the candidate is not valid, or nil.
func (c *Candidate) check() *Error {
	if c.SDPMid != nil && len(*c.SDPMid) > MaxIDBytes {
		return Errorf(InvalidCandidate, "sdpMid has more than %d bytes", MaxIDBytes)
	}
	if f := c.UsernameFragment; f != nil && *f != "" && !validUfrag(*f) {
		return Errorf(InvalidCandidate, "usernameFragment is not an ice-ufrag of RFC 8839: 4 to 256 characters of A-Z a-z 0-9 + /")
	}
	if c.Last() {
		return nil
	}
	_, err := parseCandidate(*c.Candidate)
	return err
}

// Last reports whether the candidate says that there are no more.
func (c *Candidate) Last() bool { return c.Candidate == nil || *c.Candidate == "" }

// Ufrag returns the ICE generation of the candidate, from its member or its text; "" if it
// says none.
func (c *Candidate) Ufrag() string {
	if c.UsernameFragment != nil && *c.UsernameFragment != "" {
		return *c.UsernameFragment
	}
	if c.Last() {
		return ""
	}
	ufrag, err := parseCandidate(*c.Candidate)
	if err != nil {
		return ""
	}
	return ufrag
}

// parseCandidate checks a candidate-attribute (RFC 8839, 5.1) and returns its extension
// ufrag, "" if it has none.
func parseCandidate(text string) (ufrag string, err *Error) {
	const longest = 1024
	rest, ok := strings.CutPrefix(text, "candidate:")
	if !ok {
		return "", Errorf(InvalidCandidate, "candidate must start with candidate:")
	}
	if len(text) > longest {
		return "", Errorf(InvalidCandidate, "candidate has more than %d bytes", longest)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return "", Errorf(InvalidCandidate, "candidate has a character that is not printable ASCII at byte %d", i)
		}
	}
	fields := make([]string, 0, 24) // not on the heap; those of browsers have 8 and some extensions
	for field := range strings.SplitSeq(strings.TrimSuffix(rest, " "), " ") {
		fields = append(fields, field)
	}
	if len(fields) < 8 || fields[6] != "typ" {
		return "", Errorf(InvalidCandidate, "want candidate:foundation component transport priority address port typ type")
	}
	for i, f := range fields {
		if f == "" {
			return "", Errorf(InvalidCandidate, "candidate: field %d is empty", i+1)
		}
	}
	if len(fields[0]) > 32 || !validICE(fields[0]) {
		return "", Errorf(InvalidCandidate, "candidate: the foundation must be 1 to 32 characters of A-Z a-z 0-9 + /")
	}
	if n, err := strconv.ParseUint(fields[1], 10, 16); err != nil || n < 1 || n > 256 {
		return "", Errorf(InvalidCandidate, "candidate: the component must be a number from 1 to 256")
	}
	if _, err := strconv.ParseUint(fields[3], 10, 32); err != nil {
		return "", Errorf(InvalidCandidate, "candidate: the priority must be a number of 32 bits")
	}
	if _, err := strconv.ParseUint(fields[5], 10, 16); err != nil {
		return "", Errorf(InvalidCandidate, "candidate: the port must be a number up to 65535")
	}
	extensions := fields[8:]
	if len(extensions)%2 != 0 {
		return "", Errorf(InvalidCandidate, "candidate: the extensions must be names with values")
	}
	for i := 0; i < len(extensions); i += 2 {
		if extensions[i] != "ufrag" {
			continue
		}
		if ufrag = extensions[i+1]; !validUfrag(ufrag) {
			return "", Errorf(InvalidCandidate, "candidate: ufrag must be 4 to 256 characters of A-Z a-z 0-9 + /")
		}
	}
	return ufrag, nil
}
