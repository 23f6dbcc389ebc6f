// Package coturntest finds the TURN server that tests run against, and sends it single
// requests of TURN (RFC 8656), valid or not, with the code of each response.
package coturntest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
)

// Tree returns the folder of the unpacked coturn. Without it the test is skipped, and fails if
// INSIGHTHUB_TEST_REQUIRED is 1 or CI is true.
func Tree(tb testing.TB) string {
	tb.Helper()
	tree := processtest.Local(tb, "coturn")
	processtest.NeedFile(tb, filepath.Join(tree, "bin", "turnserver"), "run cdk/local/coturn/install.sh .local/coturn")
	return tree
}

// Transports of an allocation, as IANA numbers them.
const (
	TCP byte = 6
	UDP byte = 17
)

// Families of an allocation (RFC 8656, 14.6).
const (
	IPv4 byte = 1
	IPv6 byte = 2
)

// timeout of a response: a server that does not respond at all is a failure of the test.
const timeout = time.Minute

// Client is a connection to a server with a credential.
type Client struct {
	Name, Password string
	// Realm and Nonce are those of the server's last response.
	Realm, Nonce string
	conn         net.Conn
}

// Dial connects over "udp" or "tcp".
func Dial(tb testing.TB, network, address, name, password string) *Client {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), network, address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &Client{Name: name, Password: password, conn: conn}
}

// Do sends a request with the credential, and once more if the server has another nonce. It
// returns the response and its code, 0 of success.
func (c *Client) Do(method stun.Method, attributes ...stun.Setter) (*stun.Message, int, error) {
	response, code, err := c.Once(method, attributes...)
	if err == nil && (code == 401 && c.Nonce == "" || code == 438) {
		c.remember(response)
		return c.Once(method, attributes...)
	}
	return response, code, err
}

// Once sends a request with the credential, if the client knows a nonce.
func (c *Client) Once(method stun.Method, attributes ...stun.Setter) (*stun.Message, int, error) {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c.Nonce != "" {
		setters = append(setters, stun.NewUsername(c.Name), stun.NewRealm(c.Realm), stun.NewNonce(c.Nonce),
			stun.NewLongTermIntegrity(c.Name, c.Realm, c.Password))
	}
	request, err := stun.Build(setters...)
	if err != nil {
		return nil, 0, err
	}
	response, err := c.exchange(request)
	if err != nil {
		return nil, 0, fmt.Errorf("%v: %w", method, err)
	}
	if response.Type.Class == stun.ClassSuccessResponse {
		return response, 0, nil
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(response); err != nil {
		return nil, 0, err
	}
	return response, int(code.Code), nil
}

func (c *Client) remember(response *stun.Message) {
	var realm stun.Realm
	var nonce stun.Nonce
	if realm.GetFrom(response) == nil && nonce.GetFrom(response) == nil {
		c.Realm, c.Nonce = realm.String(), nonce.String()
	}
}

// patience is the time before a request over UDP is repeated. It is long, because coturn
// responds with 401 to the copy of a request that it is still looking at, and this machine
// loses hardly a packet to itself.
const patience = 5 * time.Second

// exchange sends a request, repeated over UDP, and reads its response.
func (c *Client) exchange(request *stun.Message) (*stun.Message, error) {
	deadline := time.Now().Add(timeout)
	packets := c.conn.LocalAddr().Network() == "udp"
	for wait := patience; time.Now().Before(deadline); wait *= 2 {
		if _, err := c.conn.Write(request.Raw); err != nil {
			return nil, err
		}
		until := deadline
		if packets {
			until = time.Now().Add(wait)
		}
		response, err := c.read(request.TransactionID, until)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !packets {
			return response, err
		}
	}
	return nil, errors.New("no response")
}

func (c *Client) read(id [stun.TransactionIDSize]byte, until time.Time) (*stun.Message, error) {
	if err := c.conn.SetReadDeadline(until); err != nil {
		return nil, err
	}
	for {
		raw := make([]byte, 65536)
		n, err := c.conn.Read(raw)
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: raw[:n]}
		if err := m.Decode(); err == nil && m.TransactionID == id {
			return m, nil
		}
	}
}

// Allocate requests a relay, and returns its address and how long it lasts.
func (c *Client) Allocate(transport, family byte, lifetime time.Duration) (netip.AddrPort, time.Duration, int, error) {
	response, code, err := c.Do(stun.MethodAllocate, attribute(stun.AttrRequestedTransport, transport, 0, 0, 0),
		attribute(stun.AttrRequestedAddressFamily, family, 0, 0, 0), seconds(lifetime))
	if err != nil || code != 0 {
		return netip.AddrPort{}, 0, code, err
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(response, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, 0, 0, err
	}
	address, _ := netip.AddrFromSlice(relayed.IP)
	granted, err := response.Get(stun.AttrLifetime)
	if err != nil || len(granted) != 4 {
		return netip.AddrPort{}, 0, 0, fmt.Errorf("lifetime %x: %w", granted, err)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(relayed.Port)),
		time.Duration(binary.BigEndian.Uint32(granted)) * time.Second, 0, nil
}

// Refresh prolongs the relay.
func (c *Client) Refresh(lifetime time.Duration) (int, error) {
	_, code, err := c.Do(stun.MethodRefresh, seconds(lifetime))
	return code, err
}

// Permit asks for a permission to relay to and from a peer.
func (c *Client) Permit(peer netip.AddrPort) (int, error) {
	_, code, err := c.Do(stun.MethodCreatePermission, peerAddress(peer))
	return code, err
}

// Bind binds a channel to a peer.
func (c *Client) Bind(channel uint16, peer netip.AddrPort) (int, error) {
	number := make([]byte, 4)
	binary.BigEndian.PutUint16(number, channel)
	_, code, err := c.Do(stun.MethodChannelBind, stun.RawAttribute{Type: stun.AttrChannelNumber, Value: number}, peerAddress(peer))
	return code, err
}

// Send sends data to the peer of a channel. Nothing says whether it arrived.
func (c *Client) Send(channel uint16, data []byte) error {
	packet := make([]byte, 4, 4+len(data))
	binary.BigEndian.PutUint16(packet, channel)
	binary.BigEndian.PutUint16(packet[2:], uint16(len(data)))
	_, err := c.conn.Write(append(packet, data...))
	return err
}

// Receive returns the data of the next channel message.
func (c *Client) Receive(within time.Duration) ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	for {
		raw := make([]byte, 65536)
		n, err := c.conn.Read(raw)
		if err != nil {
			return nil, err
		}
		if n >= 4 && raw[0]&0xc0 == 0x40 {
			return raw[4:min(n, 4+int(binary.BigEndian.Uint16(raw[2:])))], nil
		}
	}
}

func attribute(kind stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: kind, Value: value}
}

func seconds(d time.Duration) stun.RawAttribute {
	value := make([]byte, 4)
	binary.BigEndian.PutUint32(value, uint32(d.Seconds()))
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: value}
}

// peerAddress is the attribute XOR-PEER-ADDRESS, in the family of the address as it is: the
// library would write an IPv4-mapped address as one of IPv4.
func peerAddress(peer netip.AddrPort) stun.Setter { return xorPeer{peer} }

type xorPeer struct{ netip.AddrPort }

func (p xorPeer) AddTo(m *stun.Message) error {
	key := binary.BigEndian.AppendUint32(nil, 0x2112a442)
	key = append(key, m.TransactionID[:]...)
	family := byte(IPv4)
	if p.Addr().Is6() {
		family = IPv6
	}
	value := []byte{0, family}
	value = binary.BigEndian.AppendUint16(value, p.Port()^0x2112)
	for i, b := range p.Addr().AsSlice() {
		value = append(value, b^key[i])
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}
