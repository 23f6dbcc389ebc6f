package api

import (
	"net/http"
	"strings"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// uncounted is a trail.Counter that counts nothing.
type uncounted struct{}

// Count implements trail.Counter.
func (uncounted) Count(trail.Occurrence) {}

// siteOf returns the site that a path names, if it does.
func siteOf(path string) telemetry.SiteID {
	rest, ok := strings.CutPrefix(path, "/v1/sites/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return telemetry.SiteID(name)
}

// count adds a request of a known caller that was denied (403), or that asked for what does not
// exist or may not be seen (404), to the audit trail: whoever tries doors is in it by name, with
// the first paths of each report, cut.
func (h *Handler) count(r *http.Request, caller *lambdahttp.Caller, status int) {
	source := lambdahttp.InfoOf(r.Context()).SourceIP
	o := trail.Occurrence{Action: trail.RefusedAccess, Source: source, Route: r.Method + " " + r.URL.Path, Subject: caller.Subject}
	switch status {
	case http.StatusForbidden:
		o.Reason = "not allowed"
	case http.StatusNotFound:
		o.Reason = "not found"
	default:
		return
	}
	// Only a site that the caller's token names: each site is an entry of its own, and a caller
	// can make up names of sites without limit.
	site := siteOf(r.URL.Path)
	if _, granted := caller.Grants[site]; granted && site != directory.EverySite || site == caller.Site {
		o.Site = string(site)
	}
	h.config.Refusals.Count(o)
}
