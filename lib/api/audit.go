package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Audit reads the audit trail.
type Audit interface {
	// TrailAfter returns up to limit entries with numbers above after, in order.
	TrailAfter(ctx context.Context, after int64, limit int) ([]trail.Entry, error)
	// TrailOfSites returns only the entries of the given sites.
	TrailOfSites(ctx context.Context, sites []telemetry.SiteID, after int64, limit int) ([]trail.Entry, error)
	// ArchivedTrail returns the last part of the trail that was moved to the archive.
	ArchivedTrail(ctx context.Context) (trail.Segment, error)
}

func (h *Handler) auditRoutes() []route {
	return []route{{
		pattern: "GET /v1/audit", role: directory.Admin, serve: h.listAudit,
		parameters: []string{"limit", "cursor", "after", "format"},
	}}
}

func auditDocumentOf(e trail.Entry) any { return trail.DocumentOf(e) }

// listAudit responds with the whole chain to administrators of every site, and to those
// of single sites with the entries of these sites: a chain with gaps.
func (h *Handler) listAudit(c *call) error {
	values := c.values
	page, err := pageParameters(values, "audit")
	if err != nil {
		return err
	}
	after, err := wholeNumber(cmp.Or(values.Get("after"), page.After, "0"), 0, math.MaxInt64)
	if err != nil || values.Has("after") && page.After != "" {
		return badRequest(`Parameter "after" must be the number of an entry, and cannot be combined with "cursor".`)
	}
	lines, err := lineFormat(values)
	if err != nil {
		return err
	}
	if values.Has("after") || page.After != "" {
		if err := h.notArchived(c, after); err != nil {
			return err
		}
	}
	var entries []trail.Entry
	if sites, all := c.caller.Sites(directory.Admin); all {
		entries, err = h.config.Audit.TrailAfter(c.Context(), after, page.Limit)
	} else {
		entries, err = h.config.Audit.TrailOfSites(c.Context(), sites, after, page.Limit)
	}
	if err != nil {
		return err
	}
	if lines {
		return respondLines(c, entries, auditDocumentOf)
	}
	return respondPage(c, "audit", page, entries, auditDocumentOf, func(e trail.Entry) string { return strconv.FormatInt(e.Seq, 10) })
}

// notArchived rejects a request for the entries after one whose next is in the archive: the response
// would have a gap.
func (h *Handler) notArchived(c *call, after int64) error {
	archived, err := h.config.Audit.ArchivedTrail(c.Context())
	if err != nil || after >= archived.Last {
		return err
	}
	return &rejection{Status: http.StatusGone, Detail: fmt.Sprintf(
		"Entries up to %d are in the archive: the last of its objects is %s. Continue with after=%d.",
		archived.Last, archived.Key(), archived.Last)}
}

// lineFormat reads the parameter format: whether the response has one document per line.
func lineFormat(values url.Values) (lines bool, err error) {
	switch values.Get("format") {
	case "", "json":
		return false, nil
	case "ndjson":
		return true, nil
	default:
		return false, badRequest(`Parameter "format" must be json or ndjson.`)
	}
}

// respondLines writes one JSON document per line, the form in which the trail is
// archived.
func respondLines[T any](c *call, entries []T, document func(T) any) error {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(c.w)
	for _, entry := range entries {
		if err := encoder.Encode(document(entry)); err != nil {
			return err
		}
	}
	return nil
}
