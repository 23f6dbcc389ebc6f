package token

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Role is a set of permissions.
type Role string

// The roles of people, each with the rights of those before it, and the role of
// gateways, which may only send the events of their own machines.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
	Gateway  Role = "gateway"
)

func (r Role) ofPerson() bool { return r == Viewer || r == Operator || r == Admin }

// EverySite is the grant for every site, future ones included.
const EverySite telemetry.SiteID = "*"

// Identity is the subject of a token: a gateway (Gateway, Site, and Role "gateway") or
// a person (Grants, which may be empty).
type Identity struct {
	// Subject is the account's id or the gateway's; of a trusted issuer's token
	// "<issuer>|<sub>", so that it is never an account of the platform.
	Subject string
	Gateway telemetry.GatewayID
	Site    telemetry.SiteID
	Role    Role
	Grants  map[telemetry.SiteID]Role
	// Session is the login of a person; empty if there is none.
	Session string
	// Version is that of the account or the gateway: when something is taken away from it, the
	// tokens of earlier versions are denied (lib/denylist). 0 is before every version.
	Version int64
}

// Claims are the claims of a verified token.
type Claims struct {
	Identity
	Issuer string
	// ID is the jti; empty if a trusted issuer sets none.
	ID                string
	IssuedAt, Expires time.Time
}

const (
	maxSubjectBytes = 512
	maxIDBytes      = 256
	maxSessionBytes = 64
	maxVersion      = 1<<53 - 1 // what every JSON parser reads exactly
)

// check reports why i is not valid. The error does not repeat values.
func (i Identity) check() error {
	if err := checkText("sub", i.Subject, maxSubjectBytes); err != nil {
		return err
	}
	if i.Session != "" {
		if err := checkText("sid", i.Session, maxSessionBytes); err != nil {
			return err
		}
	}
	if i.Version < 0 || i.Version > maxVersion {
		return reject(notVersion, "ver")
	}
	if i.Gateway == "" && i.Site == "" && i.Role == "" {
		return checkGrants(i.Grants)
	}
	if telemetry.ValidName(i.Gateway) != nil {
		return reject(notName, "gateway")
	}
	if telemetry.ValidName(i.Site) != nil {
		return reject(notName, "site")
	}
	switch {
	case i.Site == EverySite:
		return reject(gatewayOfOneSite)
	case i.Role != Gateway:
		return reject(gatewayRole)
	case i.Grants != nil:
		return reject(gatewayAndPerson)
	}
	return nil
}

func checkGrants(grants map[telemetry.SiteID]Role) error {
	if len(grants) > MaxGrants {
		return reject(tooManyGrants, MaxGrants)
	}
	for site, role := range grants {
		if telemetry.ValidName(site) != nil {
			return reject(notName, "grants")
		}
		if !role.ofPerson() {
			return reject(grantRole)
		}
	}
	return nil
}

func checkText(name, s string, most int) error {
	if s == "" || len(s) > most {
		return reject(claimLength, name, most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return reject(claimNotPlain, name)
	}
	return nil
}

// invalid returns an error about a configuration or an argument.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", telemetry.ErrInvalid, fmt.Sprintf(format, args...))
}

// times are the claims that limit a token's validity.
type times struct {
	issued, notBefore, expires time.Time
	hasNotBefore               bool // else notBefore is issued
}

// readTimes reads iat and exp, which are required, and nbf.
func readTimes(c object) (t times, err error) {
	if t.issued, err = c.time("iat"); err != nil {
		return t, err
	}
	if t.expires, err = c.time("exp"); err != nil {
		return t, err
	}
	t.notBefore = t.issued
	if _, t.hasNotBefore = c["nbf"]; t.hasNotBefore {
		t.notBefore, err = c.time("nbf")
	}
	return t, err
}

// check reports why a token with these times, valid for most at most, is not valid now by a
// clock that differs by skew at most.
func (t times) check(now time.Time, most, skew time.Duration) error {
	ahead := func(claim string, at time.Time) string {
		return fmt.Sprintf("%s is %d s ahead of the server's clock, and %d s are tolerated", claim, seconds(at.Sub(now)), seconds(skew))
	}
	switch {
	case !now.Before(t.expires.Add(skew)):
		return explained(reject(expired), "exp is %d s behind the server's clock, and less than %d s are tolerated",
			seconds(now.Sub(t.expires)), seconds(skew))
	case t.notBefore.After(now.Add(skew)) && t.hasNotBefore:
		return explained(reject(notYetValid), "%s", ahead("nbf", t.notBefore))
	case t.notBefore.After(now.Add(skew)):
		return explained(reject(notYetValid), "%s", ahead("iat", t.issued))
	case t.issued.After(now.Add(skew)):
		return explained(reject(issuedInFuture), "%s", ahead("iat", t.issued))
	case !t.expires.After(t.issued):
		return explained(reject(expiresBeforeIssued), "exp is not later than iat")
	case t.expires.Sub(t.issued) > most:
		return explained(reject(validTooLong, most), "it is valid for %d s, from iat to exp, and %d s are allowed",
			seconds(t.expires.Sub(t.issued)), seconds(most))
	}
	return nil
}

// seconds rounds up, so that a value above a limit is never shown as the limit.
func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// time reads a NumericDate (RFC 7519, 2).
func (o object) time(name string) (time.Time, error) {
	raw, ok := o[name]
	if !ok {
		return time.Time{}, reject(missingClaim, name)
	}
	const year9999 = 253402300799
	var seconds *float64
	err := json.Unmarshal(raw, &seconds)
	if err == nil && seconds != nil && *seconds > year9999 && *seconds <= year9999*1e6 {
		return time.Time{}, explained(reject(notNumericDate, name),
			"%s is no number of seconds since 1970; it looks like milliseconds or microseconds", name)
	}
	if err != nil || seconds == nil || *seconds < 0 || *seconds > year9999 {
		return time.Time{}, reject(notNumericDate, name)
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
	Session   string                    `json:"sid,omitempty"`
	Version   int64                     `json:"ver,omitempty"`
}

// readIdentity reads the subject of one of the platform's tokens.
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
	for _, m := range [...]struct {
		name string
		dst  *string
	}{{"gateway", (*string)(&i.Gateway)}, {"site", (*string)(&i.Site)}, {"role", (*string)(&i.Role)}, {"sid", &i.Session}} {
		if _, ok := c[m.name]; !ok {
			continue
		}
		if *m.dst, err = c.text(m.name); err != nil {
			return i, err
		}
		if *m.dst == "" {
			return i, reject(claimEmpty, m.name)
		}
	}
	if raw, ok := c["ver"]; ok {
		if i.Version, err = strconv.ParseInt(string(raw), 10, 64); err != nil {
			return i, reject(notVersion, "ver")
		}
	}
	if i.Grants == nil && i.Role == "" {
		return i, reject(neitherGatewayNorPerson)
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
			return nil, reject(grantNotString)
		}
		grants[telemetry.SiteID(site)] = Role(role)
	}
	return grants, nil
}
