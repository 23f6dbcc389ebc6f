package token

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Role says what the bearer of a token may do.
type Role string

// The roles of people, each with the rights of those before it, and that of
// gateways, which is apart: it may send the events of its own machines.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
	Gateway  Role = "gateway"
)

func (r Role) ofPerson() bool { return r == Viewer || r == Operator || r == Admin }

// EverySite is the grant for every site, those to come included.
const EverySite telemetry.SiteID = "*"

// Identity is who a token speaks for: a gateway (Gateway, Site, and Role
// "gateway") or a person (Grants, which may be empty).
type Identity struct {
	// Subject is the account's id or the gateway's; of a trusted issuer's token
	// "<issuer>|<sub>", so that it names no account of the platform.
	Subject string
	Gateway telemetry.GatewayID
	Site    telemetry.SiteID
	Role    Role
	Grants  map[telemetry.SiteID]Role
}

// Claims is what a token says.
type Claims struct {
	Identity
	Issuer string
	// ID is the jti. A trusted issuer may give none.
	ID                string
	IssuedAt, Expires time.Time
}

const (
	maxSubjectBytes = 512
	maxIDBytes      = 256
)

// check reports why i can not stand in a token. The text does not repeat values.
func (i Identity) check() error {
	if err := checkText("sub", i.Subject, maxSubjectBytes); err != nil {
		return err
	}
	if i.Gateway == "" && i.Site == "" && i.Role == "" {
		return checkGrants(i.Grants)
	}
	if telemetry.ValidName(i.Gateway) != nil {
		return invalid("claim gateway: not a name")
	}
	if telemetry.ValidName(i.Site) != nil {
		return invalid("claim site: not a name")
	}
	switch {
	case i.Site == EverySite:
		return invalid("a gateway speaks for one site")
	case i.Role != Gateway:
		return invalid("claim role: want gateway")
	case i.Grants != nil:
		return invalid("both a gateway's claims and a person's")
	}
	return nil
}

func checkGrants(grants map[telemetry.SiteID]Role) error {
	if len(grants) > MaxGrants {
		return invalid("more than %d grants", MaxGrants)
	}
	for site, role := range grants {
		if telemetry.ValidName(site) != nil {
			return invalid("claim grants: not a name")
		}
		if !role.ofPerson() {
			return invalid("claim grants: unknown role")
		}
	}
	return nil
}

func checkText(name, s string, most int) error {
	if s == "" || len(s) > most {
		return invalid("claim %s: want 1 to %d bytes", name, most)
	}
	for i, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError && isBroken(s[i:]) {
			return invalid("claim %s: not plain text", name)
		}
	}
	return nil
}

func isBroken(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}

// invalid is the caller's fault. Neither format nor args hold parts of a token.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}

// times are the claims that bound a token's validity.
type times struct{ issued, notBefore, expires time.Time }

// readTimes reads iat and exp, which must be there, and nbf.
func readTimes(c object) (t times, err error) {
	if t.issued, err = c.time("iat"); err != nil {
		return t, err
	}
	if t.expires, err = c.time("exp"); err != nil {
		return t, err
	}
	t.notBefore = t.issued
	if _, ok := c["nbf"]; ok {
		t.notBefore, err = c.time("nbf")
	}
	return t, err
}

// check reports why a token with these times is not valid now.
func (t times) check(now time.Time, most time.Duration) error {
	switch {
	case !now.Before(t.expires.Add(ClockSkew)):
		return invalid("expired")
	case t.notBefore.After(now.Add(ClockSkew)):
		return invalid("not yet valid")
	case t.issued.After(now.Add(ClockSkew)):
		return invalid("issued in the future")
	case !t.expires.After(t.issued):
		return invalid("expires before it was issued")
	case t.expires.Sub(t.issued) > most:
		return invalid("valid for longer than %v", most)
	}
	return nil
}

// time reads a NumericDate (RFC 7519, 2).
func (o object) time(name string) (time.Time, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, invalid("no claim %s", name)
	}
	const year9999 = 253402300799
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || *seconds < 0 || *seconds > year9999 {
		return time.Time{}, invalid("claim %s: want a number of seconds since 1970", name)
	}
	whole, part := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}

// ownClaims is the JSON form of the platform's tokens.
type ownClaims struct {
	Issuer    string                    `json:"iss"`
	Audience  string                    `json:"aud"`
	Subject   string                    `json:"sub"`
	ID        string                    `json:"jti"`
	IssuedAt  int64                     `json:"iat"`
	NotBefore int64                     `json:"nbf"`
	Expires   int64                     `json:"exp"`
	Gateway   telemetry.GatewayID       `json:"gateway,omitempty"`
	Site      telemetry.SiteID          `json:"site,omitempty"`
	Role      Role                      `json:"role,omitempty"`
	Grants    map[telemetry.SiteID]Role `json:"grants,omitzero"`
}

// readIdentity reads who one of the platform's tokens speaks for.
func readIdentity(c object) (Identity, error) {
	var i Identity
	var err error
	if i.Subject, err = c.text("sub"); err != nil {
		return i, err
	}
	if raw, ok := c["grants"]; ok {
		if i.Grants, err = readGrants(raw); err != nil {
			return i, err
		}
	}
	for name, dst := range map[string]func(string){
		"gateway": func(s string) { i.Gateway = telemetry.GatewayID(s) },
		"site":    func(s string) { i.Site = telemetry.SiteID(s) },
		"role":    func(s string) { i.Role = Role(s) },
	} {
		if _, ok := c[name]; !ok {
			continue
		}
		s, err := c.text(name)
		if err != nil {
			return i, err
		}
		if s == "" {
			return i, invalid("claim %s is empty", name)
		}
		dst(s)
	}
	if i.Grants == nil && i.Role == "" {
		return i, invalid("neither a gateway's claims nor a person's")
	}
	return i, i.check()
}

// readGrants reads an object of sites and roles. The sites and roles are not checked.
func readGrants(raw json.RawMessage) (map[telemetry.SiteID]Role, error) {
	members, err := readObject(raw)
	if err != nil {
		return nil, fmt.Errorf("claim grants: %w", err)
	}
	grants := make(map[telemetry.SiteID]Role, len(members))
	for site := range members {
		role, err := members.text(site)
		if err != nil {
			return nil, invalid("claim grants: a role that is no text")
		}
		grants[telemetry.SiteID(site)] = Role(role)
	}
	return grants, nil
}
