package api

import (
	"net/http"
	"strings"

	"github.com/insighthub/insighthub/docs"
)

// contractKept is for how long a copy of the contract is used without asking.
const contractKept = "public, max-age=300"

// contractRoutes are for everybody: they stand outside /v1 and have no authorizer.
func contractRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /openapi.yaml": func(w http.ResponseWriter, r *http.Request) {
			serveDocument(w, r, "application/yaml", docs.ContractTag, docs.OpenAPI)
		},
		"GET /docs": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", docs.PagePolicy)
			serveDocument(w, r, "text/html; charset=utf-8", docs.PageTag, docs.Page)
		},
	}
}

// serveDocument answers with what is part of the program.
func serveDocument(w http.ResponseWriter, r *http.Request, kind, tag string, document []byte) {
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", contractKept)
	if names(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(document) // the caller has gone, or got it
}

// names reports whether an If-None-Match names the tag: by itself, in a list, as a
// weak one, or by * (RFC 9110, 13.1.2).
func names(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
			return true
		}
	}
	return false
}

// Patterns returns every route that h serves, as "METHOD /path".
func (h *Handler) Patterns() []string {
	var patterns []string
	for _, r := range h.routes() {
		patterns = append(patterns, r.pattern)
	}
	for pattern := range contractRoutes() {
		patterns = append(patterns, pattern)
	}
	return patterns
}
