package directory

import (
	"slices"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// rank orders the roles of people; 0 is no role.
func (r Role) rank() int { return slices.Index([]Role{Viewer, Operator, Admin}, r) + 1 }

// roleAt returns the rank of the role that grants give at a site, those for every site included.
func roleAt(grants map[telemetry.SiteID]Role, site telemetry.SiteID) int {
	return max(grants[site].rank(), grants[EverySite].rank())
}

// TakesAway reports whether a change of a to next removes a right: it disables the account, or
// lowers its role at a site. A grant at one site that the account has at every site is none.
func (a *Account) TakesAway(next *Account) bool {
	if a.Disabled != next.Disabled {
		return next.Disabled
	}
	for site := range a.Grants {
		if roleAt(next.Grants, site) < roleAt(a.Grants, site) {
			return true
		}
	}
	return false
}
