// Package lossy is a UDP socket that loses packets, and can change its address as behind a NAT
// that forgets, on command.
package lossy

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a net.PacketConn. Its methods are safe for concurrent use.
type Conn struct {
	ip   net.IP
	loss atomic.Uint64 // of 2⁶⁴

	mu     sync.Mutex
	rng    *rand.Rand
	conn   *net.UDPConn
	closed bool

	Received, Sent, Lost atomic.Int64 // packets
}

var _ net.PacketConn = (*Conn)(nil)

// Listen opens a socket on a free port of the address.
func Listen(ip net.IP, seed uint64) (*Conn, error) {
	c := &Conn{ip: ip, rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a reproducible sequence, not a secret
	var err error
	c.conn, err = c.open()
	return c, err
}

func (c *Conn) open() (*net.UDPConn, error) { return net.ListenUDP("udp", &net.UDPAddr{IP: c.ip}) }

// Lose sets the part of the packets, 0 to 1, that are lost in each direction from now on.
func (c *Conn) Lose(part float64) {
	const whole = 1 << 63
	c.loss.Store(uint64(part*whole) * 2)
}

// Move gives the socket another port. What is on its way to the old one is lost.
func (c *Conn) Move() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	next, err := c.open()
	if err != nil {
		return err
	}
	before := c.conn
	c.conn = next
	return before.Close() // ReadFrom goes on with the next one
}

func (c *Conn) current() (*net.UDPConn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn, c.closed
}

func (c *Conn) lost() bool {
	loss := c.loss.Load()
	if loss == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rng.Uint64() >= loss {
		return false
	}
	c.Lost.Add(1)
	return true
}

// ReadFrom implements net.PacketConn.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		conn, _ := c.current()
		n, from, err := conn.ReadFrom(p)
		if err != nil {
			if now, closed := c.current(); now != conn && !closed && errors.Is(err, net.ErrClosed) {
				continue // moved
			}
			return n, from, err
		}
		if !c.lost() {
			c.Received.Add(1)
			return n, from, nil
		}
	}
}

// WriteTo implements net.PacketConn.
func (c *Conn) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.lost() {
		return len(p), nil
	}
	c.Sent.Add(1)
	for {
		conn, _ := c.current()
		n, err := conn.WriteTo(p, to)
		if now, closed := c.current(); err == nil || now == conn || closed {
			return n, err
		}
	}
}

// Close implements net.PacketConn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.conn.Close()
}

// LocalAddr implements net.PacketConn.
func (c *Conn) LocalAddr() net.Addr { conn, _ := c.current(); return conn.LocalAddr() }

// SetDeadline implements net.PacketConn.
func (c *Conn) SetDeadline(t time.Time) error { conn, _ := c.current(); return conn.SetDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	conn, _ := c.current()
	return conn.SetReadDeadline(t)
}

// SetWriteDeadline implements net.PacketConn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	conn, _ := c.current()
	return conn.SetWriteDeadline(t)
}

// Address returns an IPv4 address of this machine that a browser offers: not loopback, unless
// there is no other.
func Address() net.IP {
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
				return n.IP
			}
		}
	}
	return net.IPv4(127, 0, 0, 1)
}
