package lambda

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The Runtime API has a small HTTP/1.1 server instead of net/http: one goroutine per
// connection, one writev for a payload, no header maps and no read-ahead.
// BenchmarkInvoke shows what that saves.

const (
	// maxHeadLines limits the lines of the header and of the trailers.
	maxHeadLines = 100
	// drainFactor limits how much of a body above its limit is read and discarded, so
	// that the client sees the response.
	drainFactor = 8
)

var (
	errMalformed    = errors.New("malformed request")
	errBodyTooLarge = errors.New("body too large")
)

// request is the part of a request that the Runtime API needs. Its slices are valid
// until the next one is read.
type request struct {
	method, path []byte
	body         []byte
	// tooLarge: the body was above the limit and was discarded.
	tooLarge bool
	// errorType and errorBody are the trailers with which a runtime reports that it failed
	// while it streamed its response.
	errorType, errorBody string
}

// requestReader reads the requests of one connection into reused memory.
type requestReader struct {
	r     *bufio.Reader
	limit int // of a body, in bytes
	line  []byte
	body  []byte
}

func newRequestReader(r io.Reader, limit int) *requestReader {
	return &requestReader{r: bufio.NewReaderSize(r, 8<<10), limit: limit}
}

// read returns the next request; io.EOF when the connection ended between two.
func (q *requestReader) read() (request, error) {
	if _, err := q.r.Peek(1); err != nil {
		return request{}, err
	}
	first, err := q.readLine()
	if err != nil {
		return request{}, err
	}
	q.line = append(q.line[:0], first...)
	method, rest, ok := bytes.Cut(q.line, []byte(" "))
	path, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !bytes.HasPrefix(version, []byte("HTTP/1.1")) {
		return request{}, fmt.Errorf("%w: request line", errMalformed)
	}
	req := request{method: method, path: path}
	length, chunked := 0, false
	err = q.readFields(func(name, value []byte) error {
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil {
				return fmt.Errorf("%w: content length", errMalformed)
			}
			length = int(n)
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			if !bytes.EqualFold(value, []byte("chunked")) {
				return fmt.Errorf("%w: transfer encoding", errMalformed)
			}
			chunked = true
		}
		return nil
	})
	if err != nil {
		return request{}, err
	}
	q.body = q.body[:0]
	if chunked {
		err = q.readChunks(&req)
	} else {
		err = q.readBody(&req, length)
	}
	req.body = q.body
	return req, err
}

// readLine returns a line without its line end. A line longer than the buffer is
// truncated: no field that the server reads is that long.
func (q *requestReader) readLine() ([]byte, error) {
	line, err := q.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		head := bytes.Clone(line[:64])
		for total := len(line); errors.Is(err, bufio.ErrBufferFull); total += len(line) {
			if total > 2<<20 {
				return nil, fmt.Errorf("%w: line", errMalformed)
			}
			line, err = q.r.ReadSlice('\n')
		}
		line = head
	}
	if err != nil {
		return nil, unexpected(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func (q *requestReader) readFields(field func(name, value []byte) error) error {
	for range maxHeadLines {
		line, err := q.readLine()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("%w: field", errMalformed)
		}
		if err := field(name, bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: too many fields", errMalformed)
}

// readBody reads n bytes of the body.
func (q *requestReader) readBody(req *request, n int) error {
	if n > q.limit-len(q.body) || req.tooLarge {
		req.tooLarge = true
		q.body = q.body[:0]
		if n > drainFactor*q.limit {
			return errBodyTooLarge
		}
		_, err := q.r.Discard(n)
		return unexpected(err)
	}
	for n > 0 { // grow with the bytes that arrive, whatever length the client claims
		part := min(n, 64<<10)
		start := len(q.body)
		q.body = append(q.body, make([]byte, part)...)
		if _, err := io.ReadFull(q.r, q.body[start:]); err != nil {
			return unexpected(err)
		}
		n -= part
	}
	return nil
}

func (q *requestReader) readChunks(req *request) error {
	for total := 0; ; {
		line, err := q.readLine()
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return fmt.Errorf("%w: chunk size", errMalformed)
		}
		if n == 0 {
			break
		}
		if total += int(n); total > drainFactor*q.limit {
			return errBodyTooLarge
		}
		if err := q.readBody(req, int(n)); err != nil {
			return err
		}
		if end, err := q.readLine(); err != nil {
			return err
		} else if len(end) > 0 {
			return fmt.Errorf("%w: chunk end", errMalformed)
		}
	}
	return q.readFields(func(name, value []byte) error {
		switch {
		case bytes.EqualFold(name, []byte("lambda-runtime-function-error-type")):
			req.errorType = string(value)
		case bytes.EqualFold(name, []byte("lambda-runtime-function-error-body")):
			req.errorBody = string(value)
		}
		return nil
	})
}

// unexpected returns io.ErrUnexpectedEOF for io.EOF: the connection ended inside a request.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
