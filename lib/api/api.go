// Package api is what people and programs ask the platform: the resources of
// docs/openapi.yaml, as an http.Handler behind API Gateway's authorizer.
//
// Every handler follows one order: the caller's right is checked against the site
// that the path names before anything is looked up, so that a site one may not see
// and one that does not exist look alike (404); then the request is read in full;
// then the change and its entry in the audit trail are made in one transaction.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/problem"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Idempotency remembers the answers to POSTs.
type Idempotency interface {
	// BeginRequest keeps a key for the subject. When it is there already it returns
	// the answer that was kept, or telemetry.ErrConflict for another request under the
	// same key, or one that is still under way.
	BeginRequest(ctx context.Context, subject, key string, request [32]byte, now time.Time) (*directory.KeptAnswer, error)
	// EndRequest keeps the answer; nil gives the key free again.
	EndRequest(ctx context.Context, subject, key string, answer *directory.KeptAnswer) error
}

// Config sets a Handler up. Resources whose port is nil are not served.
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
	Accounts      Accounts
	KPIConfigs    KPIConfigs
	Audit         Audit
	Readings      Readings
	Exports       Exports // served with Files
	Files         Files
	Figures       Figures
	Anomalies     Anomalies
	AlarmRules    AlarmRules
	ClientReports ClientReports
	// ICE may be empty: peers of one network need no server.
	ICE ICE
}

// Handler serves the resources.
type Handler struct {
	config Config
	mux    *http.ServeMux
}

// New returns a Handler; the error names everything that config lacks.
func New(config Config) (*Handler, error) {
	if config.Log == nil || config.Now == nil || config.Random == nil || config.Idempotency == nil {
		return nil, fmt.Errorf("api: %w: want a log, a clock, randomness and idempotency", telemetry.ErrInvalid)
	}
	h := &Handler{config: config, mux: http.NewServeMux()}
	for _, r := range h.routes() {
		h.mux.Handle(r.pattern, h.serve(r))
	}
	for pattern, serve := range contractRoutes() {
		h.mux.HandleFunc(pattern, serve)
	}
	h.mux.HandleFunc(elsewhere, h.serveElsewhere)
	return h, nil
}

// elsewhere is the pattern of what no route answers.
const elsewhere = "/"

// serveElsewhere answers a method that its path does not know with 405, any other
// path with 404.
func (h *Handler) serveElsewhere(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if _, pattern := h.mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != elsewhere {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		notThere(w)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	lambdahttp.WriteProblem(w, problem.Document{
		Status: http.StatusMethodNotAllowed, Detail: "this path knows " + strings.Join(allowed, ", "),
	})
}

// ServeHTTP implements http.Handler. A path that the router would redirect to its
// clean form is nobody's: an answer of the API leads nowhere else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath() {
		notThere(w)
		return
	}
	h.mux.ServeHTTP(w, r)
}

func notThere(w http.ResponseWriter) {
	lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusNotFound, Detail: "there is nothing at this path"})
}

// call is one request of a known caller.
type call struct {
	*http.Request
	caller *lambdahttp.Caller
	now    time.Time
	w      http.ResponseWriter
}

// endpoint answers a call, or returns the error that is turned into the answer.
type endpoint func(c *call) error

// route is one line of the API.
type route struct {
	pattern string // of http.ServeMux
	// role is what the caller must have at the site that the path names by {site};
	// where it names none, somewhere. Endpoints that need more check for it.
	role  directory.Role
	serve endpoint
	// create answers a POST that makes something: an Idempotency-Key is honoured.
	create bool
	// long may take as long as the function may.
	long bool
}

// routes is the whole API.
func (h *Handler) routes() []route {
	var routes []route
	if h.config.Sites != nil {
		routes = append(routes, h.siteRoutes()...)
	}
	if h.config.Gateways != nil && h.config.GatewayKeys != nil {
		routes = append(routes, h.gatewayRoutes()...)
	}
	if h.config.Devices != nil && h.config.Metrics != nil {
		routes = append(routes, h.deviceRoutes()...)
	}
	if h.config.KPIConfigs != nil {
		routes = append(routes, h.kpiConfigRoutes()...)
	}
	if h.config.Audit != nil {
		routes = append(routes, h.auditRoutes()...)
	}
	if h.config.Anomalies != nil {
		routes = append(routes, h.anomalyRoutes()...)
	}
	if h.config.AlarmRules != nil {
		routes = append(routes, h.alarmRuleRoutes()...)
	}
	if h.config.ClientReports != nil {
		routes = append(routes, h.consoleRoutes()...)
	}
	if h.config.Accounts != nil {
		routes = append(routes, h.accountRoutes()...)
	}
	if h.config.Readings != nil {
		routes = append(routes, h.readingRoutes()...)
	}
	if h.config.Exports != nil && h.config.Files != nil {
		routes = append(routes, h.exportRoutes()...)
	}
	if h.config.Figures != nil {
		routes = append(routes, h.kpiRoutes()...)
	}
	return routes
}

// serve checks the caller and turns errors into answers.
func (h *Handler) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		caller, ok := lambdahttp.CallerOf(request.Context())
		if !ok {
			lambdahttp.WriteProblem(w, problem.Document{Status: http.StatusUnauthorized, Detail: "want a token"})
			return
		}
		ctx, cancel := patient(request.Context(), r.long)
		defer cancel()
		request = request.WithContext(ctx)
		c := &call{Request: request, caller: caller, now: h.config.Now(), w: w}
		err := authorize(c, r.role)
		if err == nil && r.create {
			err = h.once(c, r.serve) //nolint:contextcheck // the call carries it
		} else if err == nil {
			err = r.serve(c)
		}
		if err != nil {
			h.answerError(c, err) //nolint:contextcheck // the call carries it
		}
	})
}

// authorize checks the caller's right at the site of the path, or anywhere.
func authorize(c *call, role directory.Role) error {
	site := telemetry.SiteID(c.PathValue("site"))
	if site == "" {
		if sites, all := c.caller.Sites(role); all || len(sites) > 0 {
			return nil
		}
		return &forbidden{role: role}
	}
	if c.caller.May(role, site) {
		return nil
	}
	if c.caller.May(directory.Viewer, site) {
		return &forbidden{role: role, site: site}
	}
	return fmt.Errorf("site %q: %w", site, telemetry.ErrNotFound)
}

// forbidden: the caller may see the thing, and not do that with it.
type forbidden struct {
	role directory.Role
	site telemetry.SiteID
}

// Error is for the caller.
func (f *forbidden) Error() string {
	if f.site == "" {
		return fmt.Sprintf("this asks for the role %s", f.role)
	}
	return fmt.Sprintf("this asks for the role %s at the site", f.role)
}

// stale: the precondition does not hold.
type stale struct {
	status int
	text   string
}

// Error is for the caller.
func (s *stale) Error() string { return s.text }

// wrong is what a caller did wrong, in words for the caller. Only it, and what is
// made of it, is shown; the texts of other errors stay in the log.
type wrong struct {
	status int
	text   string
	// fields are "member: what is wanted", for a body or a query.
	fields []string
}

// Error is for the caller.
func (e *wrong) Error() string { return e.text }

func badRequest(format string, arguments ...any) error {
	return &wrong{status: http.StatusBadRequest, text: fmt.Sprintf(format, arguments...)}
}

// answerError is the one place where errors become answers.
func (h *Handler) answerError(c *call, err error) {
	document := problem.Document{Status: lambdahttp.Status(err)}
	if e, ok := errors.AsType[*wrong](err); ok {
		document.Status, document.Detail = e.status, e.text
		if len(e.fields) > 0 {
			document.Extensions = map[string]any{"errors": e.fields}
		}
	} else if e, ok := errors.AsType[*forbidden](err); ok {
		document.Status, document.Detail = http.StatusForbidden, e.Error()
	} else if e, ok := errors.AsType[*stale](err); ok {
		document.Status, document.Detail = e.status, e.text
	} else {
		switch document.Status {
		case http.StatusNotFound:
			document.Detail = "it does not exist, or you may not see it"
		case http.StatusConflict:
			document.Detail = "it exists already, or something that it needs does not"
		case http.StatusUnprocessableEntity:
			document.Detail = "a value can not be stored"
		default:
			id := lambdahttp.InfoOf(c.Context()).ID
			document.Detail = "request " + id + " could not be served"
			h.config.Log.ErrorContext(c.Context(), "request failed", "request_id", id, "method", c.Method, "path", c.URL.Path, "error", err)
		}
	}
	lambdahttp.WriteProblem(c.w, document)
}

// entry is the audit entry of a change.
func (c *call) entry(action trail.Action, object string, site telemetry.SiteID, detail any) trail.Entry {
	return trail.Entry{
		Time: telemetry.MicrosOf(c.now), Actor: c.caller.Subject, Action: action, Object: object, Site: site, Detail: marshal(detail),
	}
}
