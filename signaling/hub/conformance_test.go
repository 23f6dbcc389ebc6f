package hub_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/signaling/hub"
)

// The families of the Autobahn suite (framing, pings, reserved bits, opcodes, fragmentation,
// UTF-8, close handling, limits), with frames that are built here byte by byte. The server
// is the echo of export_test.go. TestAutobahn runs the suite itself.

// Opcodes of RFC 6455, 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
	final          = 0x80
)

// wsFrame is a frame as it is on the wire. first is the first byte: FIN, RSV and opcode.
type wsFrame struct {
	first   byte
	payload string
}

func (f wsFrame) String() string {
	payload := f.payload
	if len(payload) > 60 {
		payload = fmt.Sprintf("%s… of %d bytes", payload[:20], len(payload))
	}
	return fmt.Sprintf("%#02x %q", f.first, payload)
}

// masked returns the bytes of a client's frame.
func masked(f wsFrame) []byte {
	b := []byte{f.first}
	switch n := len(f.payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	var key [4]byte
	_, _ = rand.Read(key[:])
	b = append(b, key[:]...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^key[i%4])
	}
	return b
}

// readFrame reads a server's frame, which must not be masked.
func readFrame(r *bufio.Reader) (wsFrame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return wsFrame{}, err
	}
	if head[1]&0x80 != 0 {
		return wsFrame{}, errors.New("the server's frame is masked")
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return wsFrame{}, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return wsFrame{}, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return wsFrame{head[0], string(payload)}, err
}

// rawClient is a WebSocket of which the test writes the bytes.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func dialRaw(t *testing.T, address string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(eventually.Timeout))
	fmt.Fprintf(conn, "GET /v1/signaling HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", address)
	r := bufio.NewReader(conn)
	head := ""
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("handshake: %v after %q", err, head)
		}
		head += line
	}
	// The key and the response are the example of RFC 6455, 1.3.
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
		t.Fatalf("handshake: got %q", head)
	}
	return &rawClient{t, conn, r}
}

// frames returns what the server sends until it ends the connection.
func (c *rawClient) frames() []wsFrame {
	c.t.Helper()
	var out []wsFrame
	for {
		f, err := readFrame(c.r)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.t.Errorf("got error %v after frames %v, want an orderly end", err, out)
			}
			return out
		}
		out = append(out, f)
		if f.first == final|opClose {
			// As a client does: it ends its side, and waits for the server to end the other.
			_ = c.conn.(*net.TCPConn).CloseWrite()
		}
	}
}

func closePayload(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

type conformanceCase struct {
	name string
	send []wsFrame
	// raw is sent after the frames, as it is.
	raw []byte
	// want are the frames before the close.
	want []wsFrame
	// code is that of the server's close; 0: the client closes normally and gets the same
	// code; silent: the connection ends without a close.
	code uint16
}

const (
	noCode = 1 // a close without a code
	silent = 2

	closeNormal   = 1000
	closeProtocol = 1002
	closeUTF8     = 1007
	closeTooBig   = 1009
)

// echoes are a message and its echo.
func echoes(name string, opcode byte, payload string) conformanceCase {
	f := wsFrame{final | opcode, payload}
	return conformanceCase{name: name, send: []wsFrame{f}, want: []wsFrame{f}}
}

func rejects(name string, code uint16, send ...wsFrame) conformanceCase {
	return conformanceCase{name: name, send: send, code: code}
}

func conformanceCases() []conformanceCase {
	text := func(s string) wsFrame { return wsFrame{final | opText, s} }
	ping := func(s string) wsFrame { return wsFrame{final | opPing, s} }
	pong := func(s string) wsFrame { return wsFrame{final | opPong, s} }
	part := func(op byte, s string) wsFrame { return wsFrame{op, s} }
	last := func(s string) wsFrame { return wsFrame{final | opContinuation, s} }
	var out []conformanceCase
	// 1: framing, all forms of the length.
	for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
		out = append(out, echoes(fmt.Sprintf("1.1 text of %d bytes", n), opText, strings.Repeat("*", n)),
			echoes(fmt.Sprintf("1.2 binary of %d bytes", n), opBinary, strings.Repeat("\xfe", n)))
	}
	// 2: pings and pongs.
	all := "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	out = append(out,
		conformanceCase{name: "2.1 ping without payload", send: []wsFrame{ping("")}, want: []wsFrame{pong("")}},
		conformanceCase{name: "2.3 binary ping", send: []wsFrame{ping(all)}, want: []wsFrame{pong(all)}},
		conformanceCase{
			name: "2.4 ping of 125 bytes", send: []wsFrame{ping(strings.Repeat("x", 125))}, want: []wsFrame{pong(strings.Repeat("x", 125))},
		},
		rejects("2.5 ping of 126 bytes", closeProtocol, ping(strings.Repeat("x", 126))),
		conformanceCase{name: "2.7 unsolicited pong", send: []wsFrame{pong("")}},
		conformanceCase{name: "2.9 unsolicited pong, then ping", send: []wsFrame{pong("x"), ping("y")}, want: []wsFrame{pong("y")}},
		conformanceCase{
			name: "2.10 ten pings", send: bytesOf(10, func(i int) wsFrame { return ping(string(rune('0' + i))) }),
			want: bytesOf(10, func(i int) wsFrame { return pong(string(rune('0' + i))) }),
		})
	// 3: reserved bits.
	for rsv := byte(1); rsv < 8; rsv++ {
		for _, op := range []byte{opText, opPing, opClose} {
			name := fmt.Sprintf("3 reserved bits %d, opcode %d", rsv, op)
			out = append(out, rejects(name, closeProtocol, wsFrame{final | rsv<<4 | op, ""}))
		}
		name := fmt.Sprintf("3 text, then reserved bits %d", rsv)
		c := rejects(name, closeProtocol, text("before"), wsFrame{final | rsv<<4 | opText, "x"}, ping(""))
		c.want = []wsFrame{text("before")}
		out = append(out, c)
	}
	// 4: reserved opcodes.
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		c := rejects(fmt.Sprintf("4 text, then opcode %d", op), closeProtocol, text("before"), wsFrame{final | op, "x"}, ping(""))
		c.want = []wsFrame{text("before")}
		out = append(out, rejects(fmt.Sprintf("4 opcode %d", op), closeProtocol, wsFrame{final | op, ""}), c)
	}
	// 5: fragmentation.
	whole := text("fragment1fragment2")
	out = append(out,
		rejects("5.1 ping in fragments", closeProtocol, part(opPing, "a"), last("b")),
		rejects("5.2 pong in fragments", closeProtocol, part(opPong, "a"), last("b")),
		conformanceCase{
			name: "5.3 text in fragments", send: []wsFrame{part(opText, "fragment1"), last("fragment2")}, want: []wsFrame{whole},
		},
		conformanceCase{
			name: "5.6 a ping between fragments", send: []wsFrame{part(opText, "fragment1"), ping("p"), last("fragment2")},
			want: []wsFrame{pong("p"), whole},
		},
		rejects("5.9 continuation of nothing", closeProtocol, last("x"), text("never")),
		rejects("5.10 continuation of nothing, not the last", closeProtocol, part(opContinuation, "x"), text("never")),
		conformanceCase{
			name: "5.15 continuation of a message that is complete",
			send: []wsFrame{part(opText, "fragment1"), last("fragment2"), part(opContinuation, "x")},
			want: []wsFrame{whole}, code: closeProtocol,
		},
		rejects("5.18 text within a text", closeProtocol, part(opText, "a"), text("b")),
		conformanceCase{
			name: "5.19 pings between all fragments", send: []wsFrame{
				part(opText, "f1"), part(opContinuation, "f2"), ping("p1"),
				part(opContinuation, "f3"), part(opContinuation, "f4"), ping("p2"), last("f5"),
			}, want: []wsFrame{pong("p1"), pong("p2"), text("f1f2f3f4f5")},
		},
		conformanceCase{
			name: "6.1 empty fragments", send: []wsFrame{part(opText, ""), part(opContinuation, ""), last("")}, want: []wsFrame{text("")},
		},
		conformanceCase{
			name: "6.1 one fragment is not empty",
			send: []wsFrame{part(opText, ""), part(opContinuation, "x"), last("")}, want: []wsFrame{text("x")},
		})
	out = append(out, utf8Cases()...)
	// 7: close handling.
	out = append(out,
		conformanceCase{name: "7.1 text, then close", send: []wsFrame{text("x")}, want: []wsFrame{text("x")}},
		conformanceCase{name: "7.3 close without payload", send: []wsFrame{{final | opClose, ""}}, code: noCode},
		// The library takes it for a close without a code.
		rejects("7.3 close with one byte", noCode, wsFrame{final | opClose, "x"}),
		rejects("7.3 close with 124 bytes of reason", closeProtocol,
			wsFrame{final | opClose, closePayload(closeNormal, strings.Repeat("*", 124))}),
		rejects("7.5 reason that is not UTF-8", closeProtocol, wsFrame{final | opClose, closePayload(closeNormal, "\xce\xba\xed\xa0\x80")}))
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		out = append(out, rejects(fmt.Sprintf("7.7 close with %d", code), code, wsFrame{final | opClose, closePayload(code, "bye")}))
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535} {
		out = append(out, rejects(fmt.Sprintf("7.9 close with %d", code), closeProtocol, wsFrame{final | opClose, closePayload(code, "")}))
	}
	// 9: limits. Those of Autobahn, up to 16 MiB, are replaced by the protocol's.
	half := strings.Repeat("x", rtc.MaxMessageBytes/2)
	out = append(out,
		rejects("9.1 text of 64 KiB and a byte", closeTooBig, text(half+half+"x")),
		rejects("9.2 binary of 64 KiB and a byte", closeTooBig, wsFrame{final | opBinary, half + half + "x"}),
		conformanceCase{
			name: "9.3 64 KiB in two fragments", send: []wsFrame{part(opText, half), last(half)}, want: []wsFrame{text(half + half)},
		},
		rejects("9.3 64 KiB and a byte in three fragments", closeTooBig, part(opText, half), part(opContinuation, half), last("x")),
		conformanceCase{
			name: "9.5 thousands of small fragments", send: append(append([]wsFrame{part(opText, "")},
				bytesOf(5000, func(int) wsFrame { return part(opContinuation, "abc") })...), last("")),
			want: []wsFrame{text(strings.Repeat("abc", 5000))},
		})
	// Frames that no client may send.
	out = append(out,
		conformanceCase{name: "a frame without a mask", raw: []byte{final | opText, 1, 'x'}, code: closeProtocol},
		conformanceCase{
			name: "a length of 2^63", raw: []byte{final | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, code: silent,
		},
		conformanceCase{
			name: "a ping whose length has 64 bits", code: closeProtocol,
			raw: append([]byte{final | opPing, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 5}, "mask....."...),
		})
	return out
}

func bytesOf(n int, frame func(int) wsFrame) (out []wsFrame) {
	for i := range n {
		out = append(out, frame(i))
	}
	return out
}

// utf8Cases are the family 6: valid and invalid texts, whole and cut anywhere.
func utf8Cases() (out []conformanceCase) {
	valid := map[string]string{
		"greek": "κόσμε", "hello": "Hello-µ@ßöäüàá-UTF-8!!", "two bytes": "\u0080\u07ff", "three bytes": "\u0800\uffff",
		"four bytes":            "\U00010000\U0010ffff",
		"around the surrogates": "\ud7ff\ue000\ufffd", "no characters": "\ufffe\uffff\U0001fffe", "zero": "\x00", "private": "\uee80",
	}
	invalid := map[string]string{
		"surrogate": "\xed\xa0\x80", "surrogate pair": "\xed\xa0\x80\xed\xb0\x80", "too large": "\xf4\x90\x80\x80",
		"five bytes":     "\xf8\x88\x80\x80\x80",
		"overlong slash": "\xc0\xaf", "overlong of three": "\xe0\x80\xaf", "overlong of four": "\xf0\x80\x80\xaf",
		"overlong zero":      "\xc0\x80",
		"continuation alone": "\x80", "continuations": "\x80\xbf\x80", "start alone": "\xce",
		"start without its second": "\xe1\x80", "fe": "\xfe", "ff": "\xff",
		"cut": "κόσμ\xce", "within": "Hello-\xed\xa0\x80-world", "latin 1": "caf\xe9 noir",
	}
	for name, s := range valid {
		out = append(out, echoes("6.2 "+name, opText, s))
		c := conformanceCase{name: "6.2 " + name + ", a byte a frame", want: []wsFrame{{final | opText, s}}}
		c.send = append(c.send, wsFrame{opText, ""})
		for i := range len(s) {
			c.send = append(c.send, wsFrame{opContinuation, s[i : i+1]})
		}
		c.send = append(c.send, wsFrame{final | opContinuation, ""})
		out = append(out, c)
	}
	for name, s := range invalid {
		out = append(out,
			rejects("6.3 "+name, closeUTF8, wsFrame{final | opText, s}),
			rejects("6.3 "+name+" in two frames", closeUTF8, wsFrame{opText, s[:1]}, wsFrame{final | opContinuation, s[1:]}),
			echoes("6.3 "+name+" in a binary message", opBinary, s))
	}
	return out
}

func startEcho(t *testing.T) (address string) {
	t.Helper()
	s := start(t, func(c *hub.Config) {
		c.Limits.Rate, c.Limits.Pending, c.Times.Hello = 1<<20, 1<<20, time.Hour
		c.Limits.Queue, c.Limits.QueueBytes = 1<<16, 64<<20
	})
	server := httptest.NewServer(hub.Echo(s.hub))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestConformance(t *testing.T) {
	address := startEcho(t)
	for _, c := range conformanceCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// Once in one piece, once a few bytes at a time.
			for _, piece := range []int{1 << 20, 7} {
				client := dialRaw(t, address)
				var wire []byte
				for _, f := range c.send {
					wire = append(wire, masked(f)...)
				}
				wire = append(wire, c.raw...)
				if c.code == 0 {
					wire = append(wire, masked(wsFrame{final | opClose, closePayload(closeNormal, "")})...)
				}
				if piece < len(wire) && len(wire) > 1000 {
					piece = len(wire)/100 + 1
				}
				writeErr := make(chan error, 1)
				go func() {
					for chunk := range bytesChunks(wire, piece) {
						if _, err := client.conn.Write(chunk); err != nil {
							writeErr <- err // the server may have closed
							return
						}
					}
					writeErr <- nil
				}()
				got := client.frames()
				<-writeErr
				c.check(t, got)
			}
		})
	}
}

func (c *conformanceCase) check(t *testing.T, got []wsFrame) {
	t.Helper()
	if c.code == silent {
		if len(got) > 0 {
			t.Errorf("got frames %v, want none", got)
		}
		return
	}
	if len(got) == 0 || got[len(got)-1].first != final|opClose {
		t.Fatalf("got frames %v, want a close at the end", got)
	}
	closing := got[len(got)-1].payload
	got = got[:len(got)-1]
	if len(got) == 0 && c.code == closeProtocol {
		// NON-STRICT in Autobahn's terms: the library closes at once, before the echo of an
		// earlier message that is still waiting to be written.
		return
	}
	if fmt.Sprint(got) != fmt.Sprint(c.want) {
		t.Errorf("got frames %v, want %v", got, c.want)
	}
	want := c.code
	switch want {
	case 0:
		want = closeNormal
	case noCode:
		if closing != "" {
			t.Errorf("got close %q, want one without a code", closing)
		}
		return
	}
	if len(closing) < 2 || binary.BigEndian.Uint16([]byte(closing)) != want {
		t.Errorf("got close %q, want code %d", closing, want)
	}
}

func bytesChunks(b []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// An echo of a message is not cut by what comes right behind it.
func TestEchoUnderPipelining(t *testing.T) {
	client := dialRaw(t, startEcho(t))
	var wire []byte
	const n = 200
	for i := range n {
		wire = append(wire, masked(wsFrame{final | opText, strings.Repeat(string(rune('a'+i%26)), i*7)})...)
	}
	wire = append(wire, masked(wsFrame{final | opClose, closePayload(closeNormal, "")})...)
	go func() { _, _ = io.Copy(client.conn, bytes.NewReader(wire)) }()
	got := client.frames()
	if len(got) != n+1 {
		t.Fatalf("got %d frames, want %d echoes and a close", len(got), n)
	}
	for i := range n {
		if want := strings.Repeat(string(rune('a'+i%26)), i*7); got[i].payload != want || got[i].first != final|opText {
			t.Fatalf("got frame %v, want %q", got[i], want)
		}
	}
}
