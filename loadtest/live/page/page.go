// Package page drives a page in a browser: the page asks for commands and sends back the
// results, so that no protocol of a browser is needed.
//
//	GET  /command       waits, and returns {"id":1,"name":"view","args":{…}}, or 204 after 10 s
//	POST /result/<id>   {"value":…} or {"error":"…"}
//
// All other paths are files of the page's folder, with the headers that isolate the page, so
// that its clock has a resolution of 5 µs.
package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	waitForCommand = 10 * time.Second
	maxResultBytes = 64 << 20
)

// Command is what the page is asked to do.
type Command struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Args any    `json:"args"`
}

// result is what the page posts.
type result struct {
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// Server serves a page. Close ends it.
type Server struct {
	network net.Listener
	server  *http.Server
	group   sync.WaitGroup
	queue   chan Command

	mu      sync.Mutex
	next    int
	waiting map[int]chan result
}

// Serve serves the files of a folder on a free port of this machine.
func Serve(ctx context.Context, dir string) (*Server, error) {
	var lc net.ListenConfig
	network, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{network: network, queue: make(chan Command), waiting: make(map[int]chan result)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /command", s.command)
	mux.HandleFunc("POST /result/{id}", s.result)
	mux.Handle("GET /", isolated(http.FileServer(http.Dir(dir))))
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.group.Go(func() { _ = s.server.Serve(network) })
	return s, nil
}

// Origin returns the page's origin, as in http://127.0.0.1:1234.
func (s *Server) Origin() string { return "http://" + s.network.Addr().String() }

// Close ends the server and waits for it.
func (s *Server) Close() error {
	err := s.server.Close()
	s.group.Wait()
	return err
}

// ErrPage is what a page could not do; its text says why.
var ErrPage = errors.New("the page failed")

// Do gives the page a command and decodes the value of its result into value.
func (s *Server) Do(ctx context.Context, name string, args, value any) error {
	s.mu.Lock()
	s.next++
	c, done := Command{s.next, name, args}, make(chan result, 1)
	s.waiting[c.ID] = done
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, c.ID)
		s.mu.Unlock()
	}()
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return fmt.Errorf("%s: the page did not ask for the command: %w", name, ctx.Err())
	}
	select {
	case r := <-done:
		if r.Error != "" {
			return fmt.Errorf("%w: %s: %s", ErrPage, name, r.Error)
		}
		if value == nil {
			return nil
		}
		if err := json.Unmarshal(r.Value, value); err != nil {
			return fmt.Errorf("%s: result: %w", name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: no result: %w", name, ctx.Err())
	}
}

func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	timeout := time.NewTimer(waitForCommand)
	defer timeout.Stop()
	w.Header().Set("Cache-Control", "no-store")
	select {
	case c := <-s.queue:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c)
	case <-timeout.C:
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

func (s *Server) result(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxResultBytes))
	var got result
	if err == nil {
		err = json.Unmarshal(body, &got)
	}
	id, bad := strconv.Atoi(r.PathValue("id"))
	if err = errors.Join(err, bad); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	done, ok := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	if !ok {
		http.Error(w, fmt.Sprintf("no command %d waits for a result", id), http.StatusNotFound)
		return
	}
	done <- got
	w.WriteHeader(http.StatusNoContent)
}

func isolated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}
