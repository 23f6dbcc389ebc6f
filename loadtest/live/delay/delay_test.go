package delay_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insighthub/insighthub/loadtest/live/delay"
)

const each = 10 * time.Millisecond

// Each write arrives whole and in order, exactly the delay later, in both directions, however
// much is on its way: the clock is virtual, and the pipes take no time.
func TestDelayKeepsOrderAndRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, in := net.Pipe()
		out, far := net.Pipe()
		var group sync.WaitGroup
		group.Go(func() { delay.Both(in, out, each) })
		for _, way := range []struct{ from, to net.Conn }{{near, far}, {far, near}} {
			// 64 MiB in one millisecond, 64 GB/s: a bounded buffer would take longer.
			const writes, size = 2048, 32 << 10
			start := time.Now()
			group.Go(func() {
				for i := range writes {
					if _, err := way.from.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
						t.Error(err)
					}
					if i == writes/2 {
						time.Sleep(time.Millisecond)
					}
				}
			})
			got := make([]byte, size)
			for i := range writes {
				if _, err := io.ReadFull(way.to, got); err != nil {
					t.Fatal(err)
				}
				want := each
				if i > writes/2 {
					want += time.Millisecond
				}
				if after := time.Since(start); after != want || got[0] != byte(i) || got[size-1] != byte(i) {
					t.Fatalf("write %d: got %d … %d after %v, want %d after %v", i, got[0], got[size-1], after, byte(i), want)
				}
			}
		}
		start := time.Now()
		if err := near.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got error %v, want the end", err)
		}
		if after := time.Since(start); after != each {
			t.Errorf("the end arrived after %v, want %v", after, each)
		}
		group.Wait()
	})
}

// Over TCP: the end of one direction does not end the other, and Close ends everything.
func TestProxy(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	proxy, err := delay.Start(t.Context(), "127.0.0.1:0", server.Addr().String(), each)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		c, err := server.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		request, err := io.ReadAll(c) // to its end, and then answer
		if err != nil {
			t.Error(err)
		}
		if _, err := c.Write(append([]byte("got "), request...)); err != nil {
			t.Error(err)
		}
	})
	client, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	start := time.Now()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := io.ReadAll(client)
	if err != nil || string(response) != "got hello" {
		t.Errorf("got %q, %v, want all of it", response, err)
	}
	if round := time.Since(start); round < 2*each {
		t.Errorf("got the response after %v, want at least twice the delay of %v", round, each)
	}
	group.Wait()

	idle, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	accepted, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if err := proxy.Close(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]net.Conn{"client": idle, "server": accepted} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("the connection of the %s is open after Close", name)
		}
	}
	if _, err := net.Dial("tcp", proxy.Addr()); err == nil {
		t.Error("the proxy accepts connections after Close")
	}
}
