// Package api serves the resources of docs/openapi.yaml as an http.Handler behind API
// Gateway's authorizer.
//
// Every handler works in the same order. The caller's role at the site of the path is
// checked before anything is looked up, so that a site that the caller may not see and a
// site that does not exist give the same response (404). Then the path, the parameters and
// the body are read and checked in full, each operation by its line in the table of routes.
// Then the change and its entry in the audit trail are written in one transaction.
package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/lambda/deadline"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// requestTimeout bounds the work on a request, except for routes that are long.
const requestTimeout = 10 * time.Second

// Config configures a Handler. Resources whose port is nil are not served.
type Config struct {
	Log    *slog.Logger // required, as Now and Random
	Now    func() time.Time
	Random io.Reader

	Idempotency Idempotency // required
	Sites       Sites
	Gateways    Gateways
	GatewayKeys GatewayKeys
	Devices     Devices
	Metrics     Metrics
	Names       Names // UnpublishedNames by default
	Accounts    Accounts
	Denials     Denials   // denylist.Unpublished by default
	Passwords   Passwords // NoPasswords by default
	KPIConfigs  KPIConfigs
	Audit       Audit
	Accesses    Accesses // served together with Sites
	Recorder    Recorder // Unrecorded by default
	// Refusals adds up the requests of known callers that are denied. Nothing by default.
	Refusals      trail.Counter
	Readings      Readings
	Exports       Exports // served together with Files
	Files         Files
	KPIs          KPIs
	Anomalies     Anomalies
	AlarmRules    AlarmRules
	ClientReports ClientReports
	// ICE may be empty: peers in the same network need no server.
	ICE ICE
}

// Handler serves the resources.
type Handler struct {
	config Config
	mux    *lambdahttp.Mux
	sites  knownSites
}

// New returns a Handler.
func New(config Config) *Handler {
	config.Names = cmp.Or[Names](config.Names, UnpublishedNames{})
	config.Recorder = cmp.Or[Recorder](config.Recorder, Unrecorded{})
	config.Refusals = cmp.Or[trail.Counter](config.Refusals, uncounted{})
	config.Denials = cmp.Or[Denials](config.Denials, denylist.Unpublished{})
	config.Passwords = cmp.Or[Passwords](config.Passwords, NoPasswords{})
	h := &Handler{config: config, mux: lambdahttp.NewMux(elsewhere())}
	for _, r := range h.routes() {
		r.operation = operationOf(r.pattern)
		r.read = r.operation != ""
		h.mux.Handle(r.pattern, h.serve(r))
	}
	for pattern, serve := range contractRoutes() {
		h.mux.Handle(pattern, serve)
	}
	return h
}

// elsewhere returns the routes of other functions under /v1: requests of their paths with
// another method and a token come here.
func elsewhere() string { return "POST /v1/telemetry" }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := &statusWriter{ResponseWriter: w}
	h.mux.ServeHTTP(seen, r)
	if caller, ok := lambdahttp.CallerOf(r.Context()); ok {
		h.count(r, caller, seen.status)
	}
}

// call is one request of an authenticated caller.
type call struct {
	*http.Request
	caller *lambdahttp.Caller
	now    time.Time
	w      http.ResponseWriter
	// values are the parameters of the query, which the route knows.
	values url.Values
	// selected, if set, is what the access record has as selection, instead of the values of
	// the path and the query.
	selected url.Values
}

// endpoint writes the response to a call, or returns the error that becomes the response.
type endpoint func(c *call) error

// route is one line of the API.
type route struct {
	pattern string // of http.ServeMux
	// role is what the caller must have at the site that the path names by {site}, or at
	// any site where the path names none. Endpoints that need more check for it.
	role  directory.Role
	serve endpoint
	// platform marks a route that needs the role at every site.
	platform bool
	// parameters are those of the query; any other is rejected.
	parameters []string
	// bodyless marks a POST or PUT without a body.
	bodyless bool
	// independent marks a route that works without the database.
	independent bool
	// gateways marks a route that the gateways of the path's site may use, too.
	gateways bool
	// create marks a POST that creates something: it supports the Idempotency-Key.
	create bool
	// secret marks a POST whose body has a password.
	secret bool
	// replay responds to a repeated request; nil sends the stored response again.
	replay func(c *call, stored *directory.StoredResponse) error
	// read marks a route that shows data: who uses it is in the access record, by the
	// operation's name in the contract.
	read      bool
	operation string
	// long marks a route that may use all the time that the function has.
	long bool
}

// Reads returns the operation's name in the contract for each route that the access record has.
func (h *Handler) Reads() map[string]string {
	reads := make(map[string]string)
	for _, r := range h.routes() {
		if name := operationOf(r.pattern); name != "" {
			reads[r.pattern] = name
		}
	}
	return reads
}

// routes is the whole API.
func (h *Handler) routes() []route {
	var routes []route
	for _, group := range []struct {
		served bool
		routes []route
	}{
		{h.config.Sites != nil, h.siteRoutes()},
		{h.config.Gateways != nil && h.config.GatewayKeys != nil, h.gatewayRoutes()},
		{h.config.Devices != nil && h.config.Metrics != nil, h.deviceRoutes()},
		{h.config.Readings != nil, h.conflictRoutes()},
		{h.config.KPIConfigs != nil, h.kpiConfigRoutes()},
		{h.config.Audit != nil, h.auditRoutes()},
		{h.config.Accesses != nil && h.config.Sites != nil, h.accessRoutes()},
		{h.config.Anomalies != nil, h.anomalyRoutes()},
		{h.config.AlarmRules != nil, h.alarmRuleRoutes()},
		{h.config.ClientReports != nil, h.consoleRoutes()},
		{h.config.Accounts != nil, h.accountRoutes()},
		{h.config.Readings != nil, h.readingRoutes()},
		{h.config.Exports != nil && h.config.Files != nil, h.exportRoutes()},
		{h.config.KPIs != nil, h.kpiRoutes()},
	} {
		if group.served {
			routes = append(routes, group.routes...)
		}
	}
	return routes
}

// serve checks the caller's role and turns the endpoint's error into a response.
func (h *Handler) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		caller, ok := lambdahttp.CallerOf(request.Context())
		if !ok {
			lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusUnauthorized, Detail: "An access token is required."})
			return
		}
		timeout := requestTimeout
		if r.long {
			timeout = 0 // as long as the function may run
		}
		ctx, cancel := deadline.WithMargin(request.Context(), time.Now(), timeout)
		defer cancel()
		seen, ok := w.(*statusWriter)
		if !ok {
			seen = &statusWriter{ResponseWriter: w}
		}
		c := &call{Request: request.WithContext(ctx), caller: caller, now: h.config.Now(), w: seen}
		err := authorize(c, r)
		if err == nil {
			err = h.check(c, r) //nolint:contextcheck // the call carries it
		}
		if err == nil && r.create {
			err = h.serveIdempotent(c, r) //nolint:contextcheck // the call carries it
		} else if err == nil {
			err = r.serve(c)
		}
		if err != nil {
			h.writeError(c, err) //nolint:contextcheck // the call carries it
		}
		h.record(c, r, seen.status) //nolint:contextcheck // the call carries it
	})
}

// statusWriter remembers the status of a response.
type statusWriter struct {
	http.ResponseWriter

	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// authorize checks that the caller has the route's role at the site of the path, or at any
// site, or is a gateway of that site.
func authorize(c *call, r route) error {
	site, role := c.site(), r.role
	if r.gateways && c.caller.Role == directory.GatewayRole && site != "" && site == c.caller.Site {
		return nil
	}
	if r.platform && !c.caller.MayEverywhere(role) {
		return roleRequired(role, " at every site")
	}
	if site == "" {
		if sites, all := c.caller.Sites(role); all || len(sites) > 0 {
			return nil
		}
		return roleRequired(role, "")
	}
	if c.caller.May(role, site) {
		return nil
	}
	if c.caller.May(directory.Viewer, site) {
		return roleRequired(role, " at this site")
	}
	return fmt.Errorf("site %q: %w", site, telemetry.ErrNotFound)
}

// check checks what every operation has: the path, the parameters, that there is no body
// where none is used, and that the site exists.
func (h *Handler) check(c *call, r route) (err error) {
	if err := c.checkPath(); err != nil {
		return err
	}
	if c.values, err = lambdahttp.Query(c.Request, r.parameters...); err != nil {
		return err
	}
	if r.bodyless || c.Method != http.MethodPost && c.Method != http.MethodPut {
		if err := lambdahttp.NoBody(c.Request); err != nil {
			return err
		}
	}
	if site := c.site(); site != "" && c.caller.Role != directory.GatewayRole {
		exists, err := h.siteExists(c, site)
		switch {
		case errors.Is(err, telemetry.ErrUnavailable) && r.independent:
		case err != nil:
			return err
		case !exists:
			return fmt.Errorf("site %q: %w", site, telemetry.ErrNotFound)
		}
	}
	return nil
}

// siteExists reports whether a site exists.
func (h *Handler) siteExists(c *call, site telemetry.SiteID) (bool, error) {
	if h.sites.has(site) {
		return true, nil
	}
	exists, err := h.config.Sites.SiteExists(c.Context(), site)
	if err == nil && exists {
		h.sites.add(site)
	}
	return exists, err
}

// knownSites remembers sites that exist: a site is never deleted.
type knownSites struct{ names sync.Map }

func (k *knownSites) has(site telemetry.SiteID) bool {
	_, ok := k.names.Load(site)
	return ok
}

func (k *knownSites) add(site telemetry.SiteID) { k.names.Store(site, struct{}{}) }

// entry returns the audit trail's entry for a change.
func (c *call) entry(action trail.Action, object string, site telemetry.SiteID, detail any) trail.Entry {
	return trail.Entry{
		Time: telemetry.MicrosOf(c.now), Actor: c.caller.Subject, Action: action, Object: object, Site: site, Detail: marshal(detail),
	}
}
