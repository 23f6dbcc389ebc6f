package access_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// wire stands between the pool and PostgreSQL and notes what the client sends, in the
// frontend protocol (PostgreSQL, "Message Formats"): each statement that is executed, and
// each Sync, for whose answer the client waits.
type wire struct {
	mu   sync.Mutex
	seen []string
}

// tap returns the wire and a DSN that leads through it.
func tap(tb testing.TB, dsn string) (*wire, string) {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	var config net.ListenConfig
	l, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w, target := new(wire), u.Host
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.join(client, target) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	query := u.Query()
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), query.Encode()
	return w, u.String()
}

func (w *wire) join(client net.Conn, target string) {
	defer client.Close()
	var dialer net.Dialer
	server, err := dialer.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
	w.note(io.TeeReader(client, server))
}

// note reads what the client sends until it closes.
func (w *wire) note(r io.Reader) {
	statements := make(map[string]string) // by name
	for first := true; ; first = false {
		var kind [1]byte
		if !first { // the first message has no type
			if _, err := io.ReadFull(r, kind[:]); err != nil {
				return
			}
		}
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		body := make([]byte, max(binary.BigEndian.Uint32(size[:]), 4)-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		texts := bytes.SplitN(body, []byte{0}, 3)
		switch kind[0] {
		case 'P': // name, statement
			statements[string(texts[0])] = string(texts[1])
		case 'B': // portal, name
			w.add("execute " + short(statements[string(texts[1])]))
		case 'Q':
			w.add("query " + short(string(texts[0])))
		case 'S':
			w.add("sync")
		}
	}
}

func short(statement string) string {
	const enough = 60
	statement = strings.Join(strings.Fields(statement), " ")
	return statement[:min(len(statement), enough)]
}

func (w *wire) add(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, what)
}

// take returns what was seen since the last call.
func (w *wire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// parameters are those of a PHC string that decide what looking at it costs.
func parameters(phc string) string {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 {
		return phc
	}
	return fmt.Sprintf("%s %s, salt of %d, hash of %d characters", parts[1], parts[3], len(parts[4]), len(parts[5]))
}
