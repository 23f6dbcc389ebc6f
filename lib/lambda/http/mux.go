package http

import (
	"net/http"
	"path"
	"strings"

	"github.com/insighthub/insighthub/lib/problem"
)

// Mux is an http.Handler that routes by method and path, as http.ServeMux does, with one
// response to everything else: 405 with Allow for a method that the path does not support,
// and 404 for any other path. It never redirects.
type Mux struct {
	mux *http.ServeMux
	// elsewhere has the routes that other functions serve.
	elsewhere *http.ServeMux
}

// fallback is the pattern that matches the requests of no route.
const fallback = "/"

// NewMux returns a Mux without routes. elsewhere are patterns of routes that other
// functions serve: requests of their paths with other methods come here.
func NewMux(elsewhere ...string) *Mux {
	m := &Mux{http.NewServeMux(), http.NewServeMux()}
	m.mux.HandleFunc(fallback, m.serveUnrouted)
	m.elsewhere.HandleFunc(fallback, writeNoResource)
	for _, pattern := range elsewhere {
		m.elsewhere.HandleFunc(pattern, writeNoResource)
	}
	return m
}

// Handle adds a route; pattern is "METHOD /path". GET includes HEAD.
func (m *Mux) Handle(pattern string, h http.Handler) { m.mux.Handle(pattern, h) }

// ServeHTTP implements http.Handler. A path that ServeMux would redirect to its clean form
// is not found.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath() {
		writeNoResource(w, r)
		return
	}
	m.mux.ServeHTTP(w, r)
}

func (m *Mux) serveUnrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{
		http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodPatch, http.MethodPost, http.MethodPut,
	} {
		probe := &http.Request{Method: method, Host: r.Host, URL: r.URL}
		for _, mux := range []*http.ServeMux{m.mux, m.elsewhere} {
			if _, pattern := mux.Handler(probe); pattern != fallback && pattern != "" {
				allowed = append(allowed, method)
			}
		}
	}
	if allowed == nil {
		writeNoResource(w, r)
		return
	}
	allow := strings.Join(allowed, ", ")
	w.Header().Set("Allow", allow)
	WriteProblem(w, problem.Document{
		Status: http.StatusMethodNotAllowed, Detail: "The resource supports these methods: " + allow + ".",
	})
}

func noResource() problem.Document {
	return problem.Document{Status: http.StatusNotFound, Detail: "There is no resource at this path."}
}

func writeNoResource(w http.ResponseWriter, _ *http.Request) { WriteProblem(w, noResource()) }
