package directory

import (
	"fmt"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Bounds of the lists that a caller can make longer. Those of devices and metrics are
// telemetry.MaxDevices and telemetry.MaxMetrics, that of grants is MaxGrants.
const (
	MaxSites           = 10_000
	MaxAccounts        = 10_000
	MaxGateways        = 10_000 // of a site
	MaxGatewayKeys     = 1_000  // of a gateway, expired ones included
	MaxValidKeys       = 16     // of a gateway, that have not expired
	MaxAlarmRules      = 1_000  // of a site
	MaxComments        = 1_000  // of an anomaly
	MaxIdempotencyKeys = 10_000 // of a caller, in 24 hours
	MaxClientReports   = 10_000 // of a site; the oldest are deleted
	MaxSessions        = 100    // of an account; the next login ends the oldest
)

// LimitError is the error of an addition to a list that is full. It wraps
// telemetry.ErrConflict.
type LimitError struct {
	// Of has what the list has, as "A site has at most %d alarm rules."
	Of   string
	Most int
}

// Error returns a text for the caller.
func (e *LimitError) Error() string { return fmt.Sprintf(e.Of, e.Most) }

// Unwrap returns telemetry.ErrConflict.
func (e *LimitError) Unwrap() error { return telemetry.ErrConflict }

// ErrNoGateway is the error of an alarm rule for a gateway that the site does not have, or
// that was revoked. It wraps telemetry.ErrInvalid.
var ErrNoGateway = fmt.Errorf("%w: the site has no such gateway", telemetry.ErrInvalid)

// RuleTarget says what there is of what an alarm rule is for.
type RuleTarget struct {
	// Gateway: the site has the gateway. Revoked: it was revoked.
	Gateway, Revoked bool
	// Device and Metric have reported.
	Device, Metric bool
}
