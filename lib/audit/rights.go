package audit

import "net/http"

// Need is the permission that an endpoint requires.
type Need string

// The needs. A role is the least that is sufficient: at the site, if the path names one,
// and at any site otherwise. Platform is an administrator of every site.
const (
	Open     Need = "nobody"
	Viewer   Need = "viewer"
	Operator Need = "operator"
	Admin    Need = "admin"
	Platform Need = "admin of every site"
	Gateway  Need = "gateway"
)

// Right is one endpoint and who may use it. In Path, as in the API's documentation, {site}
// is a site that exists, and every other parameter names an object that does not.
type Right struct {
	Method, Path string
	Needs        Need
	// Found is set if a permitted read always returns 200: nothing in it can be missing.
	Found bool
}

// Rights returns the table of rights. It states what the platform promises and is not
// derived from its code.
func Rights() []Right {
	const (
		site    = "/v1/sites/{site}"
		gateway = site + "/gateways/{gateway}"
	)
	var rights []Right
	for _, e := range []struct {
		path                         string
		list, read, create, set, del Need // GET that returns 200, GET, POST, PUT, DELETE
	}{
		{path: "/.well-known/jwks.json", list: Open},
		{path: "/.well-known/oauth-authorization-server", list: Open},
		{path: "/openapi.yaml", list: Open},
		{path: "/docs", list: Open},
		{path: "/v1/login", create: Open},
		{path: "/v1/refresh", create: Open},
		{path: "/v1/logout", create: Open},
		{path: "/v1/token", create: Open},

		{path: "/v1/telemetry", create: Gateway},

		{path: "/v1/sites", list: Viewer, create: Platform},
		{path: site, read: Viewer, set: Admin},
		{path: site + "/gateways", list: Viewer, create: Admin},
		{path: gateway, read: Viewer, set: Admin, del: Admin},
		{path: gateway + "/keys", read: Viewer, create: Admin},
		{path: gateway + "/keys/{key}", del: Admin},
		{path: gateway + "/devices", read: Viewer},
		{path: gateway + "/devices/{device}", read: Viewer, set: Operator, del: Admin},
		{path: gateway + "/metrics", read: Viewer},
		{path: gateway + "/metrics/{metric}", read: Viewer, set: Operator, del: Admin},
		{path: gateway + "/devices/{device}/kpi-config", read: Viewer, set: Operator, del: Operator},
		{path: site + "/readings", read: Viewer},
		{path: site + "/latest", read: Viewer},
		{path: site + "/conflicts", list: Viewer},
		{path: site + "/conflicts/devices", list: Viewer},
		{path: site + "/kpis", read: Viewer},
		{path: site + "/exports", create: Viewer},
		{path: site + "/anomalies", list: Viewer},
		{path: site + "/anomalies/{anomaly}", read: Viewer},
		{path: site + "/anomalies/{anomaly}/acknowledge", create: Operator},
		{path: site + "/anomalies/{anomaly}/comments", create: Operator},
		{path: site + "/alarm-rules", list: Viewer, create: Operator},
		{path: site + "/alarm-rules/{rule}", read: Viewer, set: Operator, del: Operator},
		{path: site + "/client-reports", create: Viewer},
		{path: site + "/ice-servers", list: Viewer}, // and the site's own gateways; the check's gateway is of another site

		{path: "/v1/users", list: Platform, create: Platform},
		{path: "/v1/users/{user}", read: Platform, set: Platform},
		{path: "/v1/users/{user}/password", set: Platform},
		{path: "/v1/me", read: Viewer},
		{path: "/v1/access", list: Admin},
		{path: "/v1/me/password", set: Viewer},
		{path: "/v1/audit", list: Admin},
	} {
		for _, r := range []Right{
			{http.MethodGet, e.path, e.list, true},
			{http.MethodGet, e.path, e.read, false},
			{http.MethodPost, e.path, e.create, false},
			{http.MethodPut, e.path, e.set, false},
			{http.MethodDelete, e.path, e.del, false},
		} {
			if r.Needs != "" {
				rights = append(rights, r)
			}
		}
	}
	return rights
}
