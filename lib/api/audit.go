package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Audit reads the audit trail.
type Audit interface {
	// TrailAfter returns up to limit entries with numbers above after, in order.
	TrailAfter(ctx context.Context, after int64, limit int) ([]trail.Entry, error)
	// TrailOfSites returns those of the sites, and no others.
	TrailOfSites(ctx context.Context, sites []telemetry.SiteID, after int64, limit int) ([]trail.Entry, error)
}

func (h *Handler) auditRoutes() []route {
	return []route{{pattern: "GET /v1/audit", role: directory.Admin, serve: h.listAudit}}
}

// auditDocument is an entry in the form that the offline verifier reads, one to a line.
type auditDocument struct {
	Seq      int64            `json:"seq"`
	Time     time.Time        `json:"time"`
	Actor    string           `json:"actor"`
	Action   trail.Action     `json:"action"`
	Object   string           `json:"object"`
	Site     telemetry.SiteID `json:"site"`
	Detail   string           `json:"detail"`
	Previous string           `json:"previous"`
	Hash     string           `json:"hash"`
}

// listAudit answers with the whole chain to administrators of the platform, and to
// those of single sites with their sites' entries, whose chain has gaps.
func (h *Handler) listAudit(c *call) error {
	values, err := c.query("limit", "cursor", "after", "format")
	if err != nil {
		return err
	}
	p, err := page(values, "audit")
	if err != nil {
		return err
	}
	after, err := strconv.ParseInt("0"+values.Get("after")+p.After, 10, 64)
	if err != nil || values.Get("after") != "" && p.After != "" {
		return badRequest("parameter after: want the number of an entry, and no cursor beside it")
	}
	var entries []trail.Entry
	if sites, all := c.caller.Sites(directory.Admin); all {
		entries, err = h.config.Audit.TrailAfter(c.Context(), after, p.Limit)
	} else {
		entries, err = h.config.Audit.TrailOfSites(c.Context(), sites, after, p.Limit)
	}
	if err != nil {
		return err
	}
	items := make([]auditDocument, len(entries))
	next := ""
	for i, e := range entries {
		items[i] = auditDocument{e.Seq, e.Time.Time(), e.Actor, e.Action, e.Object, e.Site, e.Detail, e.Previous.String(), e.Hash.String()}
		if i == p.Limit-1 {
			next = strconv.FormatInt(e.Seq, 10)
		}
	}
	switch values.Get("format") {
	case "", "json":
		return c.answerList("audit", items, next)
	case "ndjson":
		return answerLines(c, items)
	default:
		return badRequest("parameter format: want json or ndjson")
	}
}

// answerLines writes one JSON document to a line, as files of the trail are kept.
func answerLines[T any](c *call, items []T) error {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(c.w)
	for _, item := range items {
		if err := encoder.Encode(item); err != nil {
			return err
		}
	}
	return nil
}
