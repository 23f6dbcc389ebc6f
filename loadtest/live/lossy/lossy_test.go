package lossy_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/loadtest/live/lossy"
)

func pair(t *testing.T) (*lossy.Conn, *net.UDPConn) {
	t.Helper()
	c, err := lossy.Listen(net.IPv4(127, 0, 0, 1), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return c, other
}

// A fifth of the packets is lost, in each direction, and none when the loss is over.
func TestLoss(t *testing.T) {
	c, other := pair(t)
	var b [1]byte
	for _, loss := range []float64{0, 0.2, 0} {
		c.Lose(loss)
		sent, lost := c.Sent.Load(), c.Lost.Load()
		const packets = 1000
		for range packets {
			if n, err := c.WriteTo(b[:], other.LocalAddr()); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if c.Sent.Load() > sent {
				sent++
				if _, _, err := other.ReadFrom(b[:]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := float64(c.Lost.Load()-lost) / packets; got < loss*0.8 || got > loss*1.2 {
			t.Errorf("sending: got %v of the packets lost, want %v", got, loss)
		}
	}
	c.Lose(0.2)
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			if _, _, err := c.ReadFrom(make([]byte, 1)); err != nil {
				return
			}
		}
	}()
	before := c.Lost.Load()
	for i := range 1000 {
		if _, err := other.WriteTo(b[:], c.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, "the packet is received or lost", func() bool {
			return c.Received.Load()+c.Lost.Load()-before == int64(i+1)
		})
	}
	if got := c.Lost.Load() - before; got < 150 || got > 250 {
		t.Errorf("receiving: got %d of 1000 packets lost, want about 200", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-received
}

// After Move the packets come from another port, and a read that waits goes on there.
func TestMove(t *testing.T) {
	c, other := pair(t)
	got := make(chan error, 1)
	go func() {
		_, _, err := c.ReadFrom(make([]byte, 1))
		got <- err
	}()
	time.Sleep(50 * time.Millisecond) // so that it waits, very likely
	before := c.LocalAddr().String()
	if err := c.Move(); err != nil {
		t.Fatal(err)
	}
	if c.LocalAddr().String() == before {
		t.Errorf("the address is still %s", before)
	}
	if _, err := other.WriteTo([]byte{1}, c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the read that waited: got error %v, want the packet", err)
	}
	if _, err := c.WriteTo([]byte{1}, other.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if _, from, err := other.ReadFrom(make([]byte, 1)); err != nil || from.String() != c.LocalAddr().String() {
		t.Errorf("got a packet from %v, %v, want one from %v", from, err, c.LocalAddr())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := c.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: got error %v, want %v", err, net.ErrClosed)
	}
	if err := c.Move(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Move after Close: got error %v, want %v", err, net.ErrClosed)
	}
}
