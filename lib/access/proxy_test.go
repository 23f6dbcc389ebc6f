package access_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recordingProxy forwards connections to PostgreSQL and records what the client sends in
// the frontend protocol (PostgreSQL, "Message Formats"): each statement that it executes,
// and each Sync, for whose response it waits.
type recordingProxy struct {
	mu       sync.Mutex
	messages []string
}

// newRecordingProxy returns a proxy and its DSN.
func newRecordingProxy(tb testing.TB, dsn string) (*recordingProxy, string) {
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
	p, target := new(recordingProxy), u.Host
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.forward(client, target) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	query := u.Query()
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.Addr().String(), query.Encode()
	return p, u.String()
}

func (p *recordingProxy) forward(client net.Conn, target string) {
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
	p.record(client, server)
}

// record reads what the client sends until it closes. A message is recorded before the server
// gets it, so that it is there when the client has the response.
func (p *recordingProxy) record(r io.Reader, server io.Writer) {
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
		message := slices.Concat(size[:], body)
		if !first {
			message = slices.Concat(kind[:], message)
		}
		texts := bytes.SplitN(body, []byte{0}, 3)
		switch kind[0] {
		case 'P': // name, statement
			statements[string(texts[0])] = string(texts[1])
		case 'B': // portal, name
			p.add("execute " + short(statements[string(texts[1])]))
		case 'Q':
			p.add("query " + short(string(texts[0])))
		case 'S':
			p.add("sync")
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

func short(statement string) string {
	const enough = 60
	statement = strings.Join(strings.Fields(statement), " ")
	return statement[:min(len(statement), enough)]
}

func (p *recordingProxy) add(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, message)
}

// reset returns the messages since the last call.
func (p *recordingProxy) reset() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages := p.messages
	p.messages = nil
	return messages
}

// hashParameters returns the parameters of a PHC string that the cost of its verification
// depends on.
func hashParameters(phc string) string {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 {
		return phc
	}
	return fmt.Sprintf("%s %s, salt of %d, hash of %d characters", parts[1], parts[3], len(parts[4]), len(parts[5]))
}
