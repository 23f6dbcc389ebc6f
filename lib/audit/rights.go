package audit

import "net/http"

// Need is what an endpoint asks of its caller.
type Need string

// The needs. Those of people name the least role; where a path names a site, there,
// and otherwise at any. Platform is an administrator of every site.
const (
	Open     Need = "nobody"
	Viewer   Need = "viewer"
	Operator Need = "operator"
	Admin    Need = "admin"
	Platform Need = "admin of every site"
	Gateway  Need = "gateway"
)

// Right is a line of the table of rights: who may do what. Paths are those of the
// API's documentation, in which {site} is a site that exists, and every other name is
// of something that does not.
type Right struct {
	Method, Path string
	Needs        Need
	// Query is added to the path; {site} in it is the site too.
	Query string
	// Whole says that who may read gets 200 and nothing else.
	Whole bool
}

// Rights is the table of rights, the one place where they are written down for the
// audit. It is made from what the platform promises, not from its code.
func Rights() []Right {
	const (
		get, post, put, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete

		site    = "/v1/sites/{site}"
		gateway = site + "/gateways/{gateway}"
	)
	return []Right{
		{Method: get, Path: "/.well-known/jwks.json", Needs: Open, Whole: true},
		{Method: get, Path: "/.well-known/oauth-authorization-server", Needs: Open, Whole: true},
		{Method: get, Path: "/openapi.yaml", Needs: Open, Whole: true},
		{Method: get, Path: "/docs", Needs: Open, Whole: true},
		{Method: post, Path: "/v1/login", Needs: Open},
		{Method: post, Path: "/v1/refresh", Needs: Open},
		{Method: post, Path: "/v1/logout", Needs: Open},
		{Method: post, Path: "/v1/token", Needs: Open},

		{Method: post, Path: "/v1/telemetry", Needs: Gateway},

		{Method: get, Path: "/v1/sites", Needs: Viewer, Whole: true},
		{Method: post, Path: "/v1/sites", Needs: Platform},
		{Method: get, Path: site, Needs: Viewer},
		{Method: put, Path: site, Needs: Admin},
		{Method: get, Path: site + "/gateways", Needs: Viewer, Whole: true},
		{Method: post, Path: site + "/gateways", Needs: Admin},
		{Method: get, Path: gateway, Needs: Viewer},
		{Method: put, Path: gateway, Needs: Admin},
		{Method: remove, Path: gateway, Needs: Admin},
		{Method: get, Path: gateway + "/keys", Needs: Viewer},
		{Method: post, Path: gateway + "/keys", Needs: Admin},
		{Method: remove, Path: gateway + "/keys/{key}", Needs: Admin},
		{Method: get, Path: gateway + "/devices", Needs: Viewer},
		{Method: get, Path: gateway + "/devices/{device}", Needs: Viewer},
		{Method: put, Path: gateway + "/devices/{device}", Needs: Operator},
		{Method: get, Path: gateway + "/metrics", Needs: Viewer},
		{Method: get, Path: gateway + "/metrics/{metric}", Needs: Viewer},
		{Method: put, Path: gateway + "/metrics/{metric}", Needs: Operator},
		{Method: get, Path: gateway + "/devices/{device}/kpi-config", Needs: Viewer},
		{Method: put, Path: gateway + "/devices/{device}/kpi-config", Needs: Operator},
		{Method: remove, Path: gateway + "/devices/{device}/kpi-config", Needs: Operator},
		{Method: get, Path: site + "/readings", Needs: Viewer},
		{Method: get, Path: site + "/latest", Needs: Viewer},
		{Method: get, Path: site + "/kpis", Needs: Viewer},
		{Method: post, Path: site + "/exports", Needs: Viewer},
		{Method: get, Path: site + "/anomalies", Needs: Viewer, Whole: true},
		{Method: get, Path: site + "/anomalies/{anomaly}", Needs: Viewer},
		{Method: post, Path: site + "/anomalies/{anomaly}/acknowledge", Needs: Operator},
		{Method: post, Path: site + "/anomalies/{anomaly}/comments", Needs: Operator},
		{Method: get, Path: site + "/alarm-rules", Needs: Viewer, Whole: true},
		{Method: post, Path: site + "/alarm-rules", Needs: Operator},
		{Method: get, Path: site + "/alarm-rules/{rule}", Needs: Viewer},
		{Method: put, Path: site + "/alarm-rules/{rule}", Needs: Operator},
		{Method: remove, Path: site + "/alarm-rules/{rule}", Needs: Operator},
		{Method: post, Path: site + "/client-reports", Needs: Viewer},
		{Method: get, Path: site + "/ice-servers", Needs: Viewer, Whole: true},

		{Method: get, Path: "/v1/users", Needs: Platform, Whole: true},
		{Method: post, Path: "/v1/users", Needs: Platform},
		{Method: get, Path: "/v1/users/{user}", Needs: Platform},
		{Method: put, Path: "/v1/users/{user}", Needs: Platform},
		{Method: put, Path: "/v1/users/{user}/password", Needs: Platform},
		{Method: get, Path: "/v1/me", Needs: Viewer},
		{Method: put, Path: "/v1/me/password", Needs: Viewer},
		{Method: get, Path: "/v1/audit", Needs: Admin, Whole: true},
	}
}
