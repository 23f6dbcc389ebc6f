package api

import (
	"net/http"
	"strings"

	"github.com/insighthub/insighthub/docs"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
)

// contractCaching lets a client use its copy of the contract for 5 minutes.
const contractCaching = "public, max-age=300"

const pageType = "text/html; charset=utf-8"

// contractRoutes are public: they are outside /v1 and have no authorizer.
func contractRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /openapi.yaml": func(w http.ResponseWriter, r *http.Request) {
			serveDocument(w, r, "application/yaml", docs.ContractTag, docs.OpenAPI)
		},
		"GET /docs": func(w http.ResponseWriter, r *http.Request) {
			serveDocument(w, r, pageType, docs.PageTag, docs.Page)
		},
	}
}

// serveDocument serves a document that is embedded in the binary.
func serveDocument(w http.ResponseWriter, r *http.Request, contentType, tag string, document []byte) {
	if _, err := lambdahttp.Query(r); err != nil {
		lambdahttp.WriteError(w, err)
		return
	}
	if err := lambdahttp.NoBody(r); err != nil {
		lambdahttp.WriteError(w, err)
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", contractCaching)
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if contentType == pageType {
		w.Header().Set("Content-Security-Policy", docs.PagePolicy)
	}
	_, _ = w.Write(document) // fails only when the client has disconnected
}

// matches reports whether If-None-Match has the tag: alone, in a list, as a weak one, or
// by * (RFC 9110, 13.1.2).
func matches(header, tag string) bool {
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
