package lambda

import (
	"bytes"
	"encoding/base64"
	"net"
	"strconv"
	"strings"
	"sync"
)

const apiPrefix = "/2018-06-01/runtime/"

// runtimeAPI is the Runtime API of one environment.
type runtimeAPI struct {
	env      *environment
	listener net.Listener

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

func newRuntimeAPI(env *environment, listener net.Listener) *runtimeAPI {
	return &runtimeAPI{env: env, listener: listener, conns: make(map[net.Conn]struct{})}
}

// serve serves connections until close.
func (a *runtimeAPI) serve() {
	defer a.wg.Wait()
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		if a.closed {
			a.mu.Unlock()
			_ = conn.Close()
			return
		}
		a.conns[conn] = struct{}{}
		a.mu.Unlock()
		a.wg.Go(func() {
			a.serveConn(conn)
			_ = conn.Close()
			a.mu.Lock()
			delete(a.conns, conn)
			a.mu.Unlock()
		})
	}
}

// close closes every connection, even in the middle of a write.
func (a *runtimeAPI) close() {
	_ = a.listener.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for conn := range a.conns {
		_ = conn.Close()
	}
}

func (a *runtimeAPI) serveConn(conn net.Conn) {
	requests := newRequestReader(conn, MaxResponseBytes)
	w := &responder{conn: conn}
	for {
		req, err := requests.read()
		if err != nil {
			return // the process ended, or does not speak HTTP
		}
		if a.handle(w, req) != nil {
			return
		}
	}
}

func (a *runtimeAPI) handle(w *responder, req request) error {
	path, ok := bytes.CutPrefix(req.path, []byte(apiPrefix))
	if !ok {
		return w.notFound()
	}
	post := string(req.method) == "POST"
	if string(path) == "init/error" && post {
		return a.env.initFailed(w, req)
	}
	rest, ok := bytes.CutPrefix(path, []byte("invocation/"))
	if !ok {
		return w.notFound()
	}
	if string(rest) == "next" && string(req.method) == "GET" {
		return a.env.next(w)
	}
	id, action, _ := strings.Cut(string(rest), "/")
	switch {
	case action == "response" && post:
		return a.env.responded(w, id, req)
	case action == "error" && post:
		return w.accepted(a.env.setPending(id, Result{Payload: bytes.Clone(req.body), FunctionError: Unhandled}))
	default:
		return w.notFound()
	}
}

// next waits for an invocation and writes it.
func (e *environment) next(w *responder) error {
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
				defer close(inv.delivered)
				return w.invocation(inv, f.arn)
			}
		case <-e.ended:
			return net.ErrClosed
		}
	}
}

// fetch marks inv as fetched by the process, unless it was withdrawn.
func (e *environment) fetch(inv *invocation) bool {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if e.current != inv {
		return false
	}
	inv.fetched = true
	return true
}

func (e *environment) responded(w *responder, id string, req request) error {
	if req.tooLarge {
		e.setPending(id, responseTooLarge(id))
		return w.document("413 Request Entity Too Large",
			`{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}`)
	}
	if req.errorType != "" { // the function failed while it streamed its response
		document, err := base64.StdEncoding.DecodeString(req.errorBody)
		if err != nil {
			document = nil
		}
		return w.accepted(e.setPending(id, Result{Payload: document, FunctionError: Unhandled}))
	}
	payload := bytes.Clone(req.body)
	e.f.mu.Lock()
	ok := e.isCurrent(id)
	if ok {
		e.f.settle(e, outcome{result: Result{Payload: payload}})
	}
	e.f.mu.Unlock()
	return w.accepted(ok)
}

func (e *environment) initFailed(w *responder, req request) error {
	e.f.mu.Lock()
	e.initError = append([]byte{}, req.body...)
	e.stopping = true
	e.f.mu.Unlock()
	err := w.accepted(true)
	e.kill()
	return err
}

// setPending saves the failure of the current invocation until the process asks for the
// next one or exits. It returns false if id is not the current invocation.
func (e *environment) setPending(id string, result Result) bool {
	e.f.mu.Lock()
	defer e.f.mu.Unlock()
	if !e.isCurrent(id) {
		return false
	}
	e.pending = &result
	return true
}

// isCurrent reports whether id is the current invocation and has no outcome yet. Callers
// hold mu.
func (e *environment) isCurrent(id string) bool {
	return e.current != nil && e.current.fetched && e.current.id == id && e.pending == nil && !e.timedOut
}

// responder writes the responses of one connection.
type responder struct {
	conn net.Conn
	head []byte
}

func (w *responder) invocation(inv *invocation, arn string) error {
	h := append(w.head[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: "...)
	h = append(h, inv.id...)
	h = append(h, "\r\nLambda-Runtime-Deadline-Ms: "...)
	h = strconv.AppendInt(h, inv.deadline.UnixMilli(), 10)
	h = append(h, "\r\nLambda-Runtime-Trace-Id: "...)
	h = append(h, inv.trace...)
	h = append(h, "\r\nLambda-Runtime-Invoked-Function-Arn: "...)
	h = append(h, arn...)
	h = append(h, "\r\nContent-Length: "...)
	h = strconv.AppendInt(h, int64(len(inv.payload)), 10)
	h = append(h, "\r\n\r\n"...)
	w.head = h
	buffers := net.Buffers{h, inv.payload}
	_, err := buffers.WriteTo(w.conn)
	return err
}

func (w *responder) accepted(ok bool) error {
	if !ok {
		return w.document("400 Bad Request", `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`)
	}
	return w.document("202 Accepted", `{"status":"OK"}`)
}

func (w *responder) notFound() error {
	return w.document("404 Not Found", `{"errorMessage":"No such path","errorType":"InvalidPath"}`)
}

func (w *responder) document(status, body string) error {
	h := append(w.head[:0], "HTTP/1.1 "...)
	h = append(h, status...)
	h = append(h, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	h = strconv.AppendInt(h, int64(len(body)), 10)
	h = append(h, "\r\n\r\n"...)
	w.head = append(h, body...)
	_, err := w.conn.Write(w.head)
	return err
}
