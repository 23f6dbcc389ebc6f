// Package api serves the resources of docs/openapi.yaml as an http.Handler behind API
// Gateway's authorizer.
//
// Every handler works in the same order. The caller's role at the site of the path is
// checked before anything is looked up, so that a site that the caller may not see and a
// site that does not exist give the same response (404). Then the request is read and
// checked in full. Then the change and its entry in the audit trail are written in one
// transaction.
package api

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
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

	Idempotency   Idempotency // required
	Sites         Sites
	Gateways      Gateways
	GatewayKeys   GatewayKeys
	Devices       Devices
	Metrics       Metrics
	Names         Names // UnpublishedNames by default
	Accounts      Accounts
	Denials       Denials // denylist.Unpublished by default
	KPIConfigs    KPIConfigs
	Audit         Audit
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
	mux    *http.ServeMux
}

// New returns a Handler.
func New(config Config) *Handler {
	config.Names = cmp.Or[Names](config.Names, UnpublishedNames{})
	config.Denials = cmp.Or[Denials](config.Denials, denylist.Unpublished{})
	h := &Handler{config: config, mux: http.NewServeMux()}
	for _, r := range h.routes() {
		h.mux.Handle(r.pattern, h.serve(r))
	}
	for pattern, serve := range contractRoutes() {
		h.mux.HandleFunc(pattern, serve)
	}
	h.mux.HandleFunc(fallback, h.serveUnrouted)
	return h
}

// fallback is the pattern that matches the requests of no route.
const fallback = "/"

// serveUnrouted responds with 405 to a method that the path does not support, and with
// 404 to any other path.
func (h *Handler) serveUnrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{
		http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut,
	} {
		if _, pattern := h.mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != fallback {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		writeNoResource(w)
		return
	}
	allow := strings.Join(allowed, ", ")
	w.Header().Set("Allow", allow)
	lambdahttp.WriteProblem(w, problem.Document{
		Status: http.StatusMethodNotAllowed, Detail: "The resource supports these methods: " + allow + ".",
	})
}

// ServeHTTP implements http.Handler. A path that ServeMux would redirect to its clean
// form is not found: the API never redirects.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath() {
		writeNoResource(w)
		return
	}
	h.mux.ServeHTTP(w, r)
}

func writeNoResource(w http.ResponseWriter) {
	lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusNotFound, Detail: "There is no resource at this path."})
}

// call is one request of an authenticated caller.
type call struct {
	*http.Request
	caller *lambdahttp.Caller
	now    time.Time
	w      http.ResponseWriter
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
	// gateways marks a route that the gateways of the path's site may use, too.
	gateways bool
	// create marks a POST that creates something: it supports the Idempotency-Key.
	create bool
	// long marks a route that may use all the time that the function has.
	long bool
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
		c := &call{Request: request.WithContext(ctx), caller: caller, now: h.config.Now(), w: w}
		err := authorize(c, r)
		if err == nil && r.create {
			err = h.serveIdempotent(c, r.serve) //nolint:contextcheck // the call carries it
		} else if err == nil {
			err = r.serve(c)
		}
		if err != nil {
			h.writeError(c, err) //nolint:contextcheck // the call carries it
		}
	})
}

// authorize checks that the caller has the route's role at the site of the path, or at any
// site, or is a gateway of that site.
func authorize(c *call, r route) error {
	site, role := c.site(), r.role
	if r.gateways && c.caller.Role == directory.GatewayRole && site != "" && site == c.caller.Site {
		return nil
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

// entry returns the audit trail's entry for a change.
func (c *call) entry(action trail.Action, object string, site telemetry.SiteID, detail any) trail.Entry {
	return trail.Entry{
		Time: telemetry.MicrosOf(c.now), Actor: c.caller.Subject, Action: action, Object: object, Site: site, Detail: marshal(detail),
	}
}
