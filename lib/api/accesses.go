package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/accessrecord"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Recorder records who read what.
type Recorder interface {
	// Record records a read before its response leaves; it never fails and waits for a
	// second at most. See lib/accessrecord.
	Record(ctx context.Context, a directory.Access)
}

// Unrecorded is Recorder that records nothing.
type Unrecorded struct{}

// Record implements Recorder.
func (Unrecorded) Record(context.Context, directory.Access) {}

// Accesses reads the access record.
type Accesses interface {
	// Accesses returns lines that pass the filter, the newest minute first.
	Accesses(ctx context.Context, f directory.AccessFilter) ([]directory.Access, error)
}

func (h *Handler) accessRoutes() []route {
	return []route{{
		pattern: "GET /v1/access", role: directory.Admin, serve: h.listAccess,
		parameters: []string{"subject", "site", "operation", "from", "to", "limit", "cursor", "format"},
	}}
}

type accessDocument struct {
	First     time.Time        `json:"first"`
	Last      time.Time        `json:"last"`
	Count     int64            `json:"count"`
	Subject   string           `json:"subject"`
	Account   *string          `json:"account"`
	Role      directory.Role   `json:"role"`
	Site      telemetry.SiteID `json:"site"`
	Operation string           `json:"operation"`
	Selection string           `json:"selection"`
	Status    int              `json:"status"`
	Source    string           `json:"source"`
	RequestID string           `json:"request_id"`
}

func viewAccess(a directory.Access) any {
	d := accessDocument{
		a.First.UTC(), a.Last.UTC(), a.Count, a.Subject, nil, a.Role, a.Site, a.Operation, accessrecord.Selected(a), a.Status, a.Source,
		a.RequestID,
	}
	if a.Account != "" {
		d.Account = &a.Account
	}
	return d
}

// listAccess responds to administrators of every site with the whole record, and to those of
// single sites with the reads of these sites.
func (h *Handler) listAccess(c *call) error {
	values := c.values
	page, err := pageParameters(values, "access")
	if err != nil {
		return err
	}
	lines, err := lineFormat(values)
	if err != nil {
		return err
	}
	filter := directory.AccessFilter{Subject: values.Get("subject"), Operation: values.Get("operation"), Limit: page.Limit}
	if err := h.readableSites(c, values, &filter); err != nil {
		return err
	}
	var f fields
	f.require(len(filter.Subject) <= 512, "subject", "must be at most 512 bytes")
	f.require(len(filter.Operation) <= 64 && !strings.ContainsFunc(filter.Operation, notLetter), "operation", "must be an operationId")
	filter.From = timeField(&f, "from", values.Get("from"))
	filter.To = timeField(&f, "to", values.Get("to"))
	if err := f.err(); err != nil {
		return badRequest("%s", err)
	}
	if page.After != "" {
		if filter.Before, filter.BeforeKey, err = readAccessKey(page.After); err != nil {
			return err
		}
	}
	found, err := h.config.Accesses.Accesses(c.Context(), filter)
	if err != nil {
		return err
	}
	if lines {
		if len(found) == page.Limit {
			c.w.Header().Set("Next-Cursor", cursor("access", writtenAccessKey(found[len(found)-1])))
		}
		return respondLines(c, found, viewAccess)
	}
	return respondPage(c, "access", page, found, viewAccess, writtenAccessKey)
}

func notLetter(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }

// readableSites sets the sites of the filter: those where the caller is administrator, or the
// one that the parameter names, if it is one of them.
func (h *Handler) readableSites(c *call, values url.Values, filter *directory.AccessFilter) error {
	sites, all := c.caller.Sites(directory.Admin)
	if !all {
		filter.Sites = append([]telemetry.SiteID{}, sites...)
	}
	site, err := nameParameter[telemetry.SiteID](values, "site", false)
	if err != nil || site == "" {
		return err
	}
	if !c.caller.May(directory.Admin, site) {
		return telemetry.ErrNotFound
	}
	if _, err := h.config.Sites.Site(c.Context(), site); err != nil {
		return err
	}
	filter.Sites = []telemetry.SiteID{site}
	return nil
}

// A line's key in a cursor is its minute, in seconds since the Unix epoch, and its key.
func writtenAccessKey(a directory.Access) string {
	return strconv.FormatInt(a.Minute().Unix(), 10) + "." + hex.EncodeToString(a.Key)
}

func readAccessKey(text string) (minute time.Time, key []byte, err error) {
	seconds, digits, _ := strings.Cut(text, ".")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || at < 0 || at > maxTime.Time().Unix() {
		return minute, nil, foreignCursor()
	}
	if key, err = hex.DecodeString(digits); err != nil || len(key) == 0 || len(key) > 32 {
		return minute, nil, foreignCursor()
	}
	return time.Unix(at, 0).UTC(), key, nil
}

// record adds a read to the access record, if the response shows something.
func (h *Handler) record(c *call, r route, status int) {
	if !r.read || status >= http.StatusBadRequest {
		return
	}
	selected := c.selected
	if selected == nil {
		selected = c.selection(r)
	}
	info, from, to := lambdahttp.InfoOf(c.Context()), takeTime(selected, "from"), takeTime(selected, "to")
	h.config.Recorder.Record(c.Context(), directory.Access{
		Subject: c.caller.Subject, Role: c.caller.Greatest(c.site()), Site: c.site(), Operation: r.operation,
		Selection: accessrecord.Selection(selected), From: from, To: to, Status: status, Source: info.SourceIP, RequestID: info.ID,
	})
}

// takeTime returns the time of the parameter and leaves its name with an empty value, or zero
// if there is none.
func takeTime(selected url.Values, name string) time.Time {
	if len(selected[name]) != 1 {
		return time.Time{}
	}
	at, problem := parseTime(selected[name][0])
	if problem != "" {
		return time.Time{}
	}
	selected[name] = []string{""}
	return at.Time()
}

// selection returns the values of the path but the site, and those of the query but cursor
// and limit: the pages of a list are one selection.
func (c *call) selection(r route) url.Values {
	selected, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		selected = url.Values{}
	}
	selected.Del("cursor")
	selected.Del("limit")
	for segment := range strings.SplitSeq(r.pattern, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok && segment != "{site}" {
			name = strings.TrimSuffix(name, "}")
			selected.Set(name, c.PathValue(name))
		}
	}
	return selected
}
