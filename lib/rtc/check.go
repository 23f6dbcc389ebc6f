package rtc

import (
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// check returns what is wrong with the values of a message, beyond their types.
func check(m Message, from side) *Error {
	switch m := m.(type) {
	case Hello:
		if m.Token == "" {
			return Errorf(InvalidMessage, `member "token" is empty`)
		}
	case Token:
		if m.Token == "" {
			return Errorf(InvalidMessage, `member "token" is empty`)
		}
	case Join:
		return checkSite(m.Site)
	case Leave:
		return checkSite(m.Site)
	case Offer:
		if err := checkRoute(m.To, m.From, m.Connection, from); err != nil {
			return err
		}
		return CheckSDP(m.SDP)
	case Answer:
		if err := checkRoute(m.To, m.From, m.Connection, from); err != nil {
			return err
		}
		return CheckSDP(m.SDP)
	case Candidate:
		if err := checkRoute(m.To, m.From, m.Connection, from); err != nil {
			return err
		}
		return m.check()
	case Bye:
		if err := checkRoute(m.To, m.From, m.Connection, from); err != nil {
			return err
		}
		return checkReason(m.Reason)
	}
	return nil
}

func checkSite(site telemetry.SiteID) *Error {
	if telemetry.ValidName(site) != nil {
		return Errorf(InvalidMessage, `member "site" must be a name of 1 to %d bytes without control characters`, telemetry.MaxNameBytes)
	}
	return nil
}

func checkRoute(to, sender PeerID, connection ConnectionID, from side) *Error {
	name, peer := "to", to
	if from == serverSide {
		name, peer = "from", sender
	}
	if !peer.Valid() {
		return Errorf(InvalidMessage, "member %q must be the id of a peer: 1 to %d characters of A-Z a-z 0-9 _ -", name, MaxIDBytes)
	}
	if !connection.Valid() {
		return Errorf(InvalidMessage, `member "connection" must be 1 to %d characters of A-Z a-z 0-9 _ -`, MaxIDBytes)
	}
	return nil
}

func checkReason(reason string) *Error {
	if len(reason) > MaxReasonBytes {
		return Errorf(InvalidMessage, `member "reason" has %d bytes, at most %d are allowed`, len(reason), MaxReasonBytes)
	}
	for _, r := range reason {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return Errorf(InvalidMessage, `member "reason" has a control character`)
		}
	}
	return nil
}
