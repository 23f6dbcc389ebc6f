package lambda

import (
	"bytes"
	"io"
	"sync"
)

// maxLineBytes is the length at which a line is split, the size of the largest log event.
const maxLineBytes = 256 << 10

// lineWriter is a writer that several environments share without mixing lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// write writes whole lines. A log that cannot be written must not stop a function; the
// error is ignored.
func (l *lineWriter) write(lines []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(lines)
}

// copyLines copies whole lines from r to the log until r ends.
func (l *lineWriter) copyLines(r io.Reader) {
	buf := make([]byte, 0, 8<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), maxLineBytes)])
		buf = buf[:len(buf)+n]
		switch end := bytes.LastIndexByte(buf, '\n'); {
		case end >= 0:
			l.write(buf[:end+1])
			buf = buf[:copy(buf, buf[end+1:])]
		case len(buf) >= maxLineBytes:
			l.write(append(buf, '\n'))
			buf = buf[:0]
		}
		if err != nil { // the end, or the deadline that is set when the process has ended
			if len(buf) > 0 {
				l.write(append(buf, '\n'))
			}
			return
		}
	}
}
