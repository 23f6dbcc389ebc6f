package lambda

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const apiVersion = "/2018-06-01"

// runtimeAPI is what the process of the environment talks to.
func (e *environment) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiVersion+"/runtime/invocation/next", e.serveNext)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/response", e.serveResponse)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/error", e.serveError)
	mux.HandleFunc("POST "+apiVersion+"/runtime/init/error", e.serveInitError)
	return mux
}

func (e *environment) serveNext(w http.ResponseWriter, r *http.Request) {
	f := e.f
	f.mu.Lock()
	if !e.isReady {
		e.isReady = true
		close(e.ready)
	}
	if e.pending != nil && e.current != nil {
		f.settle(e, outcome{result: *e.pending})
	}
	f.mu.Unlock()
	for {
		select {
		case inv := <-e.work:
			if e.fetch(inv) {
				e.deliver(w, inv)
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// fetch marks inv as given to the process, unless it was withdrawn.
func (e *environment) fetch(inv *invocation) bool {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if e.current != inv {
		return false
	}
	inv.fetched = true
	return true
}

func (e *environment) deliver(w http.ResponseWriter, inv *invocation) {
	defer close(inv.delivered)
	h := w.Header()
	// Direct assignment: these are in canonical form already.
	h["Lambda-Runtime-Aws-Request-Id"] = []string{inv.id}
	h["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(inv.deadline.UnixMilli(), 10)}
	h["Lambda-Runtime-Trace-Id"] = []string{inv.trace}
	h["Lambda-Runtime-Invoked-Function-Arn"] = []string{e.f.cfg.arn()}
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(inv.payload))}
	// A failed write means that the process is gone, which reap will find.
	_, _ = w.Write(inv.payload)
}

func (e *environment) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := e.readBody(r, MaxResponseBytes)
	if errors.Is(err, errBodyTooLarge) {
		e.hold(r.PathValue("id"), func(inv *invocation) Result { return responseTooLarge(inv.id) })
		answer(w, http.StatusRequestEntityTooLarge, `{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}`)
		return
	}
	if err != nil {
		return // the process broke off and is about to end
	}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		// The function failed while it was streaming its response.
		document, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		if err != nil {
			document = nil
		}
		e.accept(w, e.hold(r.PathValue("id"), func(*invocation) Result {
			return Result{Payload: document, FunctionError: Unhandled}
		}))
		return
	}
	payload := append([]byte(nil), body...)
	e.f.mu.Lock()
	ok := e.isCurrent(r.PathValue("id"))
	if ok {
		e.f.settle(e, outcome{result: Result{Payload: payload}})
	}
	e.f.mu.Unlock()
	e.accept(w, ok)
}

func (e *environment) serveError(w http.ResponseWriter, r *http.Request) {
	body, err := e.readBody(r, MaxResponseBytes)
	if err != nil && !errors.Is(err, errBodyTooLarge) {
		return
	}
	payload := append([]byte(nil), body...)
	e.accept(w, e.hold(r.PathValue("id"), func(*invocation) Result {
		return Result{Payload: payload, FunctionError: Unhandled}
	}))
}

func (e *environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := e.readBody(r, MaxResponseBytes)
	if err != nil {
		return
	}
	e.f.mu.Lock()
	e.initError = append([]byte{}, body...)
	e.condemned = true
	e.f.mu.Unlock()
	e.accept(w, true)
	e.kill()
}

// hold keeps the failure of the current invocation until the process asks for
// more or exits, and reports whether id names it.
func (e *environment) hold(id string, result func(*invocation) Result) bool {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if !e.isCurrent(id) {
		return false
	}
	held := result(e.current)
	e.pending = &held
	return true
}

// isCurrent reports whether id may still be answered. Callers hold mu.
func (e *environment) isCurrent(id string) bool {
	return e.current != nil && e.current.fetched && e.current.id == id && e.pending == nil && !e.overtime
}

func (e *environment) accept(w http.ResponseWriter, ok bool) {
	if !ok {
		answer(w, http.StatusBadRequest, `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`)
		return
	}
	answer(w, http.StatusAccepted, `{"status":"OK"}`)
}

func answer(w http.ResponseWriter, status int, document string) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(document))}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, document)
}

var errBodyTooLarge = errors.New("body too large")

// readBody reads into the environment's buffer, which is valid until the next
// call. A Go runtime sends its response in chunks, of unknown length.
func (e *environment) readBody(r *http.Request, limit int) ([]byte, error) {
	buf := e.response[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		e.response = buf
		switch {
		case len(buf) > limit:
			return buf[:0], errBodyTooLarge
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}
