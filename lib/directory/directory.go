// Package directory defines the resources of the platform and who may see them: sites,
// gateways with their keys, devices, metrics, people and their grants.
//
// Every resource that can be changed has a Version, which counts its changes. The API
// shows it as an ETag, and a change names the version that it was made from.
package directory

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Version counts the changes of a resource, from 1. As a precondition, 0 is any version.
type Version int64

// Site is a plant, the unit of access.
type Site struct {
	Name  telemetry.SiteID
	Title string
	// TimeZone is an IANA name.
	TimeZone           string
	Version            Version
	CreatedAt, Changed time.Time
}

// Gateway is an edge computer that sends the events of a site's machines.
type Gateway struct {
	Name  telemetry.GatewayID
	Site  telemetry.SiteID
	Title string
	// RegisteredAt is zero for a gateway that was created by its first batch.
	RegisteredAt time.Time
	// RevokedAt is zero for a gateway that may get tokens.
	RevokedAt time.Time
	Version   Version
}

// GatewayKey is a public key with which a gateway signs its assertions.
type GatewayKey struct {
	// ID is the key's RFC 7638 thumbprint.
	ID string
	// JWK is the public key (RFC 7517).
	JWK       json.RawMessage
	CreatedAt time.Time
	// NotAfter is when the key expires; zero is never.
	NotAfter time.Time
}

// Device is a machine, scoped by its gateway.
type Device struct {
	Site               telemetry.SiteID
	Gateway            telemetry.GatewayID
	Name               telemetry.DeviceName
	Title, Description string
	Version            Version
}

// Metric is a quantity that a gateway's devices report.
type Metric struct {
	Site    telemetry.SiteID
	Gateway telemetry.GatewayID
	Name    telemetry.MetricName
	Title   string
	// Unit is a UCUM code.
	Unit    string
	Version Version
}

// AccountID names a person's account: a UUID.
type AccountID string

// Role is what a caller may do.
type Role string

// The roles of people at a site, each with the rights of the one before it, and the role
// of gateways, which may only send the events of their own machines.
const (
	Viewer      Role = "viewer"
	Operator    Role = "operator"
	Admin       Role = "admin"
	GatewayRole Role = "gateway"
)

// EverySite is every site in a grant, sites that are created later included.
const EverySite telemetry.SiteID = "*"

// MaxGrants bounds the grants of one account: its tokens carry them.
const MaxGrants = 100

// Account is a person's account, without the password.
type Account struct {
	ID                 AccountID
	Name               string
	Disabled           bool
	Grants             map[telemetry.SiteID]Role
	Version            Version
	CreatedAt, Changed time.Time
}

// Page selects a part of a list in the order of its keys.
type Page struct {
	// After is the key of the last entry of the page before, or empty.
	After string
	// Limit is the most entries to return.
	Limit int
}

// Access is one line of the access record: the reads of one minute that are alike.
type Access struct {
	First, Last time.Time
	Count       int64
	// Subject is an account's id, a gateway's name, or a subject of a trusted issuer. Account is
	// the account's name; it is empty for others, and not stored with the line.
	Subject, Account string
	// Role is the greatest that the caller had at the site, or at any site where there is none.
	Role Role
	// Site is empty for what belongs to no site.
	Site telemetry.SiteID
	// Operation is the operationId of the contract.
	Operation string
	// Selection is what was selected, in the form of a query. The values of from and to are
	// not in it: the reads of a line may differ in them.
	Selection string
	// From is the earliest and To the latest time that was selected; zero if a read of the
	// line had none.
	From, To time.Time
	Status   int
	// Source is the address of the caller, RequestID the last request.
	Source, RequestID string
	// Key tells lines of one minute apart; the store sets it.
	Key []byte
}

// Minute is the minute in which the reads were.
func (a *Access) Minute() time.Time { return a.First.Truncate(time.Minute) }

// Widen widens the range of the line, so that b's is within.
func (a *Access) Widen(b Access) {
	if b.From.IsZero() || !a.From.IsZero() && b.From.Before(a.From) {
		a.From = b.From
	}
	if b.To.IsZero() || !a.To.IsZero() && b.To.After(a.To) {
		a.To = b.To
	}
}

// AccessFilter selects lines of the access record; empty members select everything.
type AccessFilter struct {
	// Sites are those that the reader may see; nil is all, with what belongs to no site.
	Sites     []telemetry.SiteID
	Subject   string
	Operation string
	From, To  time.Time
	// Before is the minute and the key of the line after which the page begins, in the order
	// from the newest to the oldest.
	Before    time.Time
	BeforeKey []byte
	Limit     int
}

// SessionDenial is how long a session that ended is denied: a person's access token is valid
// for 10 minutes and the tolerated skew of 30 s, and the refresh that issues the last one may
// be in progress when the session ends, or be repeated within its grace. All other denials
// are for tokens of up to an hour.
const SessionDenial = 11 * time.Minute

// Denial says which access tokens are no longer accepted: those of a session if Session is
// set, else those that were issued for an earlier version of the subject if Version is set,
// else all that were issued until Time.
type Denial struct {
	// Subject is an account's id or a gateway's name.
	Subject string
	Session string
	Version Version
	// Time is when it was decided.
	Time time.Time
}

// Session is a refresh token and the login that it belongs to. Only the token's hash is
// stored.
type Session struct {
	Hash    [32]byte // SHA-256 of the token
	Family  string   // a UUID: all tokens of one login
	Account AccountID
	// Version is that of the account when the login read it; 0 is any.
	Version Version
	Expires time.Time
}

// Refresh is the exchange of a refresh token for its successor, which is derived from the
// token and a salt: so a repetition can get the same successor, though it is not stored.
type Refresh struct {
	Hash      [32]byte // SHA-256 of the token
	Salt      [32]byte // random, for this call
	Successor [32]byte // SHA-256 of the successor by that salt
	Expires   time.Time
	Now       time.Time
	// Grace is how long after the first exchange a repetition gets its successor again.
	Grace time.Duration
}

// Refreshed is the result of a Refresh.
type Refreshed struct {
	Account Account
	// Family is that of the token and its successor.
	Family string
	// Salt is that of the first exchange of the token, and Expires when its successor expires.
	Salt    [32]byte
	Expires time.Time
}

// ErrVersion is the error of a change that was made from a version that is not the
// present one. It wraps telemetry.ErrConflict.
var ErrVersion = fmt.Errorf("%w: changed meanwhile", telemetry.ErrConflict)

// StoredResponse is the response to a request with an Idempotency-Key, for its repetition.
type StoredResponse struct {
	Status int
	Header map[string][]string
	Body   []byte
}

// KPIConfig says how the KPIs of one device are computed (ISO 22400-2).
type KPIConfig struct {
	kpi.Row
	// Version is 0 if the configuration is inherited from a rule for many devices.
	Version Version
}
