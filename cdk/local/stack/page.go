package stack

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

// pagePath is where the front serves the page of the live path.
const pagePath = "/live/"

// page serves the built page, and everything else by next. The page names neither the address
// of the signaling service nor a token: it reads config.json.
func (s *Stack) page(next http.Handler) http.Handler {
	if s.cfg.Live == "" || s.live.signaling == nil {
		return next
	}
	s.info.Live = s.info.HTTP + pagePath
	files := http.StripPrefix(pagePath, http.FileServer(http.Dir(s.cfg.Live)))
	// Not a ServeMux, which would redirect some paths of the API.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.HasPrefix(r.URL.Path, pagePath):
			next.ServeHTTP(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "want GET", http.StatusMethodNotAllowed)
			return
		}
		pageHeaders(w.Header())
		if r.URL.Path == pagePath+"config.json" {
			w.Header().Set("Content-Type", "application/json")
			// On an error the browser has gone.
			_ = json.NewEncoder(w).Encode(map[string]string{"signaling": s.info.Signaling, "api": ""})
			return
		}
		// make run builds it while the stack runs.
		if _, err := os.Stat(s.cfg.Live); err != nil {
			http.Error(w, "The page is not built yet: make pages builds it.", http.StatusNotFound)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// pageHeaders isolates the page: its clock then has steps of 5 µs rather than 100, and no
// script but its own runs.
func pageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws: wss:; "+
		"base-uri 'none'; frame-ancestors 'none'; object-src 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
}
