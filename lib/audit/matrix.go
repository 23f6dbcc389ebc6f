package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// probeBody has an unknown member: callers who have the right get 400.
const probeBody = `{"no_such_member_of_the_audit":true}`

// missing names objects that do not exist. It is a UUID, as some names must be.
const missing = "00000000-0000-4000-8000-000000000000"

// RightsCheck requests every endpoint of the table as every identity that has a token.
func RightsCheck(api API, rights []Right, tokens map[Identity]string) Check {
	return func(ctx context.Context) []Finding {
		site, err := findSite(ctx, api, tokens[AsAdministrator])
		if err != nil {
			return []Finding{noResponse("rights", err)}
		}
		var findings []Finding
		for _, id := range Identities() {
			if tokens[id] == "" && id != Nobody {
				findings = append(findings, Finding{
					"rights: " + string(id), Warn, "not checked: there is no token", "run the self-check where it can sign tokens",
				})
				continue
			}
			findings = append(findings, matrix{api, site, id, tokens[id]}.check(ctx, rights))
		}
		return findings
	}
}

// site is the site that is requested.
type site struct {
	name   string
	exists bool
}

// findSite returns a site that exists, or the name of one that does not.
func findSite(ctx context.Context, api API, administrator string) (site, error) {
	got, err := api.get(ctx, "/v1/sites?limit=10", administrator)
	if err != nil {
		return site{}, err
	}
	var list struct{ Items []struct{ Name string } }
	if err := json.Unmarshal(got.body, &list); err != nil || got.status != http.StatusOK {
		return site{}, fmt.Errorf("list the sites as administrator: %v", got)
	}
	for _, s := range list.Items {
		if s.Name != string(ownSite) {
			return site{s.Name, true}, nil
		}
	}
	return site{"audit-nowhere", false}, nil
}

// matrix checks the table of rights as one identity.
type matrix struct {
	api   API
	site  site
	id    Identity
	token string
}

// shownMismatches limits what a finding lists.
const shownMismatches = 5

func (m matrix) check(ctx context.Context, rights []Right) Finding {
	f := Finding{Check: "rights: " + string(m.id), Result: Pass}
	var wrong []string
	allowed := 0
	for _, r := range rights {
		if r.Needs == Open && m.id != Nobody {
			continue // the token is ignored
		}
		if m.may(r) {
			allowed++
		}
		got, err := m.request(ctx, r)
		if err != nil {
			return noResponse(f.Check, err)
		}
		if reason := m.judge(r, got); reason != "" {
			wrong = append(wrong, fmt.Sprintf("%s %s: %d, %s", r.Method, r.Path, got.status, reason))
		}
	}
	f.Found = fmt.Sprintf("%d endpoints are allowed, the others are rejected, as in the table of rights", allowed)
	if n := len(wrong); n > 0 {
		f.Result = Fail
		shown := strings.Join(wrong[:min(n, shownMismatches)], "; ")
		f.Found = fmt.Sprintf("%d of %d endpoints differ from the table of rights: %s", n, len(rights), shown)
		if n > shownMismatches {
			f.Found += fmt.Sprintf("; and %d more", n-shownMismatches)
		}
		f.Todo = "decide who may do this: either the code or lib/audit/rights.go is wrong"
	}
	return f
}

func (m matrix) request(ctx context.Context, r Right) (response, error) {
	req := request{method: r.Method, path: m.path(r), token: m.token}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		req.body = probeBody
	}
	return m.api.do(ctx, req)
}

// path replaces the parameters of a path.
func (m matrix) path(r Right) string {
	path := strings.ReplaceAll(r.Path, "{site}", url.PathEscape(m.site.name))
	for {
		from := strings.IndexByte(path, '{')
		if from < 0 {
			return path
		}
		to := from + strings.IndexByte(path[from:], '}')
		path = path[:from] + missing + path[to+1:]
	}
}

// ofSite reports whether the path names a site.
func (r Right) ofSite() bool { return strings.Contains(r.Path, "{site}") }

// may reports whether the table allows it.
func (m matrix) may(r Right) bool {
	if r.Needs == Open {
		return true
	}
	if r.Needs == Gateway || m.id == AsGateway {
		return r.Needs == Gateway && m.id == AsGateway
	}
	switch m.id {
	case AsViewer:
		return r.Needs == Viewer
	case AsOperator:
		return r.Needs == Viewer || r.Needs == Operator
	case AsAdministrator:
		return true
	case Stranger:
		return r.Needs != Platform && !r.ofSite()
	default:
		return false
	}
}

// judge returns the problem with a response, or "".
func (m matrix) judge(r Right, got response) string {
	changes := r.Method != http.MethodGet
	switch {
	case got.status >= http.StatusInternalServerError:
		return "the server failed"
	case changes && got.status < http.StatusMultipleChoices:
		return "a write succeeded that should be rejected"
	case !m.may(r):
		return m.judgeRejection(r, got)
	case changes:
		rejections := []int{
			http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusPreconditionRequired,
		}
		if r.Needs == Open { // the credentials are not valid
			rejections = append(rejections, http.StatusUnauthorized)
		}
		if !slices.Contains(rejections, got.status) {
			return "allowed, but rejected"
		}
	case got.status == http.StatusOK, !r.Found && (got.status == http.StatusNotFound || got.status == http.StatusBadRequest):
	case r.ofSite() && !m.site.exists && got.status == http.StatusNotFound:
	default:
		return "allowed to read, want 200"
	}
	return ""
}

func (m matrix) judgeRejection(r Right, got response) string {
	// A site that the caller may not see looks like one that does not exist.
	unseen := r.ofSite() && (m.id == Stranger || m.id == AsGateway)
	switch {
	case m.id == Nobody && got.status != http.StatusUnauthorized:
		return "without a token, want 401"
	case m.id != Nobody && unseen && got.status != http.StatusNotFound:
		return "must not see this, want 404"
	case m.id != Nobody && !unseen && got.status != http.StatusForbidden:
		return "not allowed, want 403"
	}
	return ""
}
