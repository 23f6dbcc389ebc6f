package signaling

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/lib/rtc"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// peer is one connection, with a goroutine that reads.
type peer struct {
	conn *websocket.Conn
	id   rtc.PeerID

	write   sync.Mutex
	closing bool

	done chan struct{}
	err  error // valid once done is closed; nil after close
}

const ioTimeout = 60 * time.Second

// dial connects, says hello and joins. received gets the time that each relayed message took.
func dial(ctx context.Context, url, token string, site telemetry.SiteID, received func(time.Duration)) (_ *peer, err error) {
	dialer := websocket.Dialer{
		Subprotocols: []string{rtc.Subprotocol}, HandshakeTimeout: ioTimeout, ReadBufferSize: 1024, WriteBufferSize: 1024,
		WriteBufferPool: writeBuffers,
	}
	conn, response, err := dialer.DialContext(ctx, url, http.Header{}) //nolint:bodyclose // there is none after an upgrade
	if err != nil {
		if response != nil {
			err = fmt.Errorf("%w: %s", err, response.Status)
		}
		return nil, err
	}
	p := &peer{conn: conn, done: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	_ = conn.SetReadDeadline(time.Now().Add(ioTimeout))
	if err := p.send(rtc.Hello{Token: token}); err != nil {
		return nil, err
	}
	m, err := p.next()
	if err != nil {
		return nil, err
	}
	welcome, ok := m.(rtc.Welcome)
	if !ok {
		return nil, fmt.Errorf("got %s after hello: %+v", m.Type(), m)
	}
	p.id = welcome.Peer
	if err := p.send(rtc.Join{Site: site}); err != nil {
		return nil, err
	}
	if m, err = p.next(); err != nil {
		return nil, err
	}
	if _, ok := m.(rtc.Joined); !ok {
		return nil, fmt.Errorf("got %s after join: %+v", m.Type(), m)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go p.read(received)
	return p, nil
}

//nolint:gochecknoglobals // gorilla's pool of buffers, for all connections
var writeBuffers = new(sync.Pool)

func (p *peer) next() (rtc.Message, error) {
	_, raw, err := p.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	m, fault := rtc.DecodeServer(raw)
	if fault != nil {
		return nil, fault
	}
	return m, nil
}

func (p *peer) send(m rtc.Message) error {
	raw, err := rtc.Encode(m)
	if err != nil {
		return err
	}
	p.write.Lock()
	defer p.write.Unlock()
	_ = p.conn.SetWriteDeadline(time.Now().Add(ioTimeout))
	return p.conn.WriteMessage(websocket.TextMessage, raw)
}

// read reads until the connection ends.
func (p *peer) read(received func(time.Duration)) {
	defer close(p.done)
	defer p.conn.Close() //nolint:errcheck // it ends
	for {
		_, raw, err := p.conn.ReadMessage()
		if err != nil {
			p.write.Lock()
			if !p.closing {
				p.err = err
			}
			p.write.Unlock()
			return
		}
		switch at, ok, err := sentAt(raw); {
		case err != nil:
			p.write.Lock()
			p.err = err
			p.write.Unlock()
			return
		case ok:
			received(time.Since(at))
		}
	}
}

// sentAt returns when a relayed message was sent, which stands in it: a load test does not
// decode 20,000 connections' messages.
func sentAt(raw []byte) (at time.Time, ok bool, err error) {
	if bytes.Contains(raw, []byte(`"type":"error"`)) {
		return time.Time{}, false, fmt.Errorf("the service responded %s", raw)
	}
	for _, mark := range []string{"candidate:", "o=- "} {
		_, rest, found := bytes.Cut(raw, []byte(mark))
		if !found {
			continue
		}
		number, _, _ := bytes.Cut(rest, []byte(" "))
		us, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return time.Time{}, false, fmt.Errorf("the service relayed %s", raw)
		}
		return time.UnixMicro(us), true, nil
	}
	return time.Time{}, false, nil
}

const connection rtc.ConnectionID = "live"

func (p *peer) offer(to rtc.PeerID) error {
	return p.send(rtc.Offer{To: to, Connection: connection, SDP: description(time.Now())})
}

func (p *peer) answer(to rtc.PeerID) error {
	return p.send(rtc.Answer{To: to, Connection: connection, SDP: description(time.Now())})
}

func (p *peer) candidate(to rtc.PeerID) error {
	text := fmt.Sprintf("candidate:%d 1 udp 2122260223 192.0.2.7 50000 typ host generation 0 ufrag load", time.Now().UnixMicro())
	mid := "0"
	return p.send(rtc.Candidate{To: to, Connection: connection, Candidate: &text, SDPMid: &mid})
}

// description returns an SDP of the size that browsers make for video and data, 2 KB.
func description(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n", now.UnixMicro())
	transport := "c=IN IP4 0.0.0.0\r\na=ice-ufrag:load\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 " +
		strings.TrimSuffix(strings.Repeat("AB:", 32), ":") + "\r\na=setup:actpass\r\n"
	b.WriteString("m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\n" + transport + "a=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n")
	for _, pt := range []string{"96", "97", "102", "103"} {
		for _, feedback := range []string{"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"} {
			b.WriteString("a=rtcp-fb:" + pt + " " + feedback + "\r\n")
		}
		b.WriteString("a=rtpmap:" + pt + " H264/90000\r\n")
		b.WriteString("a=fmtp:" + pt + " level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n")
	}
	b.WriteString("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + transport + "a=mid:1\r\na=sctp-port:5000\r\n")
	b.WriteString("a=max-message-size:262144\r\n")
	return b.String()
}

// failed returns why the connection ended, nil if it has not.
func (p *peer) failed() error {
	select {
	case <-p.done:
		if p.err != nil {
			return p.err
		}
		return errors.New("closed")
	default:
		return nil
	}
}

// close starts the orderly end; done says when it is over.
func (p *peer) close() {
	p.write.Lock()
	defer p.write.Unlock()
	if p.closing {
		return
	}
	p.closing = true
	deadline := time.Now().Add(ioTimeout)
	_ = p.conn.SetReadDeadline(deadline)
	if p.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline) != nil {
		_ = p.conn.Close()
	}
}
