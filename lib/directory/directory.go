// Package directory holds the words for what there is and who may see it: sites,
// gateways with their keys, devices, metrics, people and their grants.
//
// Every thing that can be changed has a Version, which counts its changes; the API
// shows it as an ETag, and a change names the version that it was made from.
package directory

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Version counts the changes of a thing, from 1. As a precondition, 0 means any.
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

// Gateway is an edge computer that speaks for a site's machines.
type Gateway struct {
	Name  telemetry.GatewayID
	Site  telemetry.SiteID
	Title string
	// RegisteredAt is zero for a gateway that came into being with its first batch.
	RegisteredAt time.Time
	// RevokedAt is zero for one that may get tokens.
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
	// NotAfter is when the key stops being good; zero is never.
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

// The roles of people at a site, each with the rights of those before it, and that
// of gateways, which is apart: it may send the events of its own machines.
const (
	Viewer      Role = "viewer"
	Operator    Role = "operator"
	Admin       Role = "admin"
	GatewayRole Role = "gateway"
)

// EverySite stands in a grant for every site, those to come included.
const EverySite telemetry.SiteID = "*"

// MaxGrants bounds the grants of one account: they travel in its tokens.
const MaxGrants = 100

// Account is a person. The password is not part of it.
type Account struct {
	ID                 AccountID
	Name               string
	Disabled           bool
	Grants             map[telemetry.SiteID]Role
	Version            Version
	CreatedAt, Changed time.Time
}

// Page asks for a part of a list in the order of its keys.
type Page struct {
	// After is the key of the last entry seen, or empty.
	After string
	// Limit is the most entries to return.
	Limit int
}

// Session is a refresh token and the login that it came of. Only its hash is kept.
type Session struct {
	Hash    [32]byte // SHA-256 of the token
	Family  string   // a UUID: all tokens of one login
	Account AccountID
	Expires time.Time
}

// AttemptKey stands for what attempts to log in have in common, such as a name or
// an address: its SHA-256.
type AttemptKey [32]byte

// AttemptPolicy says how attempts under one key are slowed down.
type AttemptPolicy struct {
	Key AttemptKey
	// Free is how many attempts may fail before the first wait.
	Free int
	// Base is the first wait; each further failure doubles it, up to Max.
	Base, Max time.Duration
	// Forget is the time without an attempt after which the count begins anew.
	Forget time.Duration
}

// ErrVersion is the conflict of a change that was made from a version which is no
// longer the last. It is telemetry.ErrConflict to errors.Is.
var ErrVersion = fmt.Errorf("%w: changed meanwhile", telemetry.ErrConflict)

// KeptAnswer is an answer that is given again to the same request.
type KeptAnswer struct {
	Status int
	Header map[string][]string
	Body   []byte
}

// KPIConfig says how the KPIs of one device are computed (ISO 22400-2).
type KPIConfig struct {
	// The metrics that the device reports; empty where it reports none such.
	StateMetric, CountMetric, GoodMetric telemetry.MetricName
	// States says what each state code means.
	States map[int]MachineState
	// IdealCycle is the planned runtime per item.
	IdealCycle time.Duration
	// StaleAfter is the silence after which the state is unknown.
	StaleAfter time.Duration
	// Planned are the planned times of a week in UTC, by mon to sun, each from to
	// before, as 06:00 or 24:00. Nil means always.
	Planned map[string][][2]string
	Version Version
}

// MachineState is what a state code means: production, idle, setup, down or
// not_planned. Only down has a reason.
type MachineState struct {
	Element string `json:"element"`
	Reason  string `json:"reason,omitempty"`
}
