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

// probeBody is a member that nothing knows: who may make the change is told so (400).
const probeBody = `{"no_such_member_of_the_audit":true}`

// nothing is the name of what does not exist. It is a UUID, since some names have to be.
const nothing = "00000000-0000-4000-8000-000000000000"

// RightsCheck asks every endpoint of the table as every identity that has a token.
func RightsCheck(api API, rights []Right, tokens map[Identity]string) Check {
	return func(ctx context.Context) []Finding {
		site, err := aSite(ctx, api, tokens[AsAdministrator])
		if err != nil {
			return []Finding{notAsked("rights", err)}
		}
		var findings []Finding
		for _, id := range Identities() {
			if tokens[id] == "" && id != Nobody {
				findings = append(findings, Finding{"rights: " + string(id), Warn, "not looked at: there is no token", "run the audit where it can sign tokens"})
				continue
			}
			findings = append(findings, matrix{api, site, id, tokens[id]}.check(ctx, rights))
		}
		return findings
	}
}

// site is the one that is asked for.
type site struct {
	name   string
	exists bool
}

// aSite finds a site that exists, or makes up the name of one.
func aSite(ctx context.Context, api API, administrator string) (site, error) {
	got, err := api.get(ctx, "/v1/sites?limit=10", administrator)
	if err != nil {
		return site{}, err
	}
	var list struct{ Items []struct{ Name string } }
	if err := json.Unmarshal(got.body, &list); err != nil || got.status != http.StatusOK {
		return site{}, fmt.Errorf("an administrator's list of sites: %v", got)
	}
	for _, s := range list.Items {
		if s.Name != string(ownSite) {
			return site{s.Name, true}, nil
		}
	}
	return site{"audit-nowhere", false}, nil
}

// matrix is the table as one identity sees it.
type matrix struct {
	api   API
	site  site
	id    Identity
	token string
}

// shownMismatches bounds what a finding lists.
const shownMismatches = 5

func (m matrix) check(ctx context.Context, rights []Right) Finding {
	f := Finding{Check: "rights: " + string(m.id), Result: Pass}
	var wrong []string
	allowed := 0
	for _, r := range rights {
		if r.Needs == Open && m.id != Nobody {
			continue // no token is looked at
		}
		if m.may(r) {
			allowed++
		}
		got, err := m.ask(ctx, r)
		if err != nil {
			return notAsked(f.Check, err)
		}
		if reason := m.judge(r, got); reason != "" {
			wrong = append(wrong, fmt.Sprintf("%s %s: %d, %s", r.Method, r.Path, got.status, reason))
		}
	}
	f.Found = fmt.Sprintf("%d endpoints may be asked, the others are refused, as written down", allowed)
	if n := len(wrong); n > 0 {
		f.Result = Fail
		f.Found = fmt.Sprintf("%d of %d endpoints answer otherwise than written down: %s", n, len(rights), strings.Join(wrong[:min(n, shownMismatches)], "; "))
		if n > shownMismatches {
			f.Found += fmt.Sprintf("; and %d more", n-shownMismatches)
		}
		f.Todo = "look who may do this: the code, or the table of rights, is wrong"
	}
	return f
}

func (m matrix) ask(ctx context.Context, r Right) (answer, error) {
	req := request{method: r.Method, path: m.path(r), token: m.token}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		req.body = probeBody
	}
	return m.api.ask(ctx, req)
}

// path fills in the names of a path.
func (m matrix) path(r Right) string {
	path := r.Path
	if r.Query != "" {
		path += "?" + strings.ReplaceAll(r.Query, "{site}", url.QueryEscape(m.site.name))
	}
	path = strings.ReplaceAll(path, "{site}", url.PathEscape(m.site.name))
	for {
		from := strings.IndexByte(path, '{')
		if from < 0 {
			return path
		}
		to := from + strings.IndexByte(path[from:], '}')
		path = path[:from] + nothing + path[to+1:]
	}
}

// ofSite reports whether a right is asked for at a site.
func (r Right) ofSite() bool { return strings.Contains(r.Path+r.Query, "{site}") }

// may says what is written down.
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

// judge says what is wrong with an answer, or nothing.
func (m matrix) judge(r Right, got answer) string {
	changes := r.Method != http.MethodGet
	switch {
	case got.status >= http.StatusInternalServerError:
		return "it failed"
	case changes && got.status < http.StatusMultipleChoices:
		return "a change that had to be refused was made"
	case !m.may(r):
		return m.judgeRefusal(r, got)
	case changes:
		refusals := []int{
			http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity, http.StatusPreconditionRequired,
		}
		if r.Needs == Open { // credentials that are none
			refusals = append(refusals, http.StatusUnauthorized)
		}
		if !slices.Contains(refusals, got.status) {
			return "it may do this, and was not let through"
		}
	case got.status == http.StatusOK, !r.Whole && (got.status == http.StatusNotFound || got.status == http.StatusBadRequest):
	case r.ofSite() && !m.site.exists && got.status == http.StatusNotFound:
	default:
		return "it may read this, and got nothing"
	}
	return ""
}

func (m matrix) judgeRefusal(r Right, got answer) string {
	// What one may not see and what does not exist look alike.
	unseen := r.ofSite() && (m.id == Stranger || m.id == AsGateway)
	switch {
	case m.id == Nobody && got.status != http.StatusUnauthorized:
		return "without a token, want 401"
	case m.id != Nobody && unseen && got.status != http.StatusNotFound:
		return "it may not see this, want 404"
	case m.id != Nobody && !unseen && got.status != http.StatusForbidden:
		return "it may not do this, want 403"
	}
	return ""
}
