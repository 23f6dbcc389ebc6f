package redis_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/redis"
	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
)

// The test binary is a host too: see processtest.
func TestMain(m *testing.M) {
	if binary := os.Getenv(processtest.Folder); binary != "" {
		processtest.Host(func() (int, error) {
			server, err := redis.Start(context.Background(), redis.Config{Binary: binary})
			if err != nil {
				return 0, err
			}
			return server.PID(), nil
		})
	}
	os.Exit(m.Run())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestStartAndStop(t *testing.T) {
	var log lockedBuffer
	server, err := redis.Start(t.Context(), redis.Config{Binary: redistest.Binary(t), Logs: &log})
	if err != nil {
		t.Fatal(err)
	}
	if !server.Ready(t.Context()) {
		t.Error("the server does not answer after Start")
	}
	if want := "redis://" + server.Address() + "/0"; server.URL() != want {
		t.Errorf("got URL %s, want %s", server.URL(), want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
	if server.Ready(t.Context()) {
		t.Error("the server answers after Stop")
	}
	select {
	case <-server.Exited():
	default:
		t.Error("Exited is open after Stop")
	}
	if !strings.Contains(log.String(), "Ready to accept connections") {
		t.Errorf("the log does not hold the server's lines:\n%s", log.String())
	}
}

func TestNothingIsStored(t *testing.T) {
	dir := t.TempDir()
	server, err := redis.Start(t.Context(), redis.Config{Binary: redistest.Binary(t), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("got %v, %v in the server's folder, want nothing", entries, err)
	}
}

func TestStartFails(t *testing.T) {
	binary := redistest.Binary(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		config redis.Config
		want   string
	}{
		"port in use":     {redis.Config{Binary: binary, Listen: taken.Addr().String()}, "Address already in use"},
		"bad argument":    {redis.Config{Binary: binary, Arguments: []string{"--no-such-option", "1"}}, "no-such-option"},
		"not installed":   {redis.Config{Binary: filepath.Join(t.TempDir(), "bin", "redis-server")}, "run cdk/local/redis/install.sh"},
		"address unclear": {redis.Config{Binary: binary, Listen: "nowhere"}, "missing port"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redis.Start(t.Context(), c.config)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestServerEndsWithItsStarter(t *testing.T) {
	pid := processtest.Orphan(t, redistest.Binary(t))
	processtest.Gone(t, pid)
}

// The fixtures of other packages' tests do what they say.
func TestFaults(t *testing.T) {
	server := redistest.Start(t)
	if got := server.Command("SET", "a", "1"); got != "+OK" {
		t.Fatalf("SET: %s", got)
	}
	address := server.Address()
	server.Restart()
	if server.Address() != address {
		t.Errorf("got address %s after the restart, want %s", server.Address(), address)
	}
	if got := server.Command("EXISTS", "a"); got != ":0" {
		t.Errorf("EXISTS after the restart: got %s, want :0", got)
	}
	server.Kill()
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("a killed server accepts connections")
	}
}

func TestClusterIsOneOfTwoServers(t *testing.T) {
	url, _ := redistest.Cluster(t)
	address := strings.TrimPrefix(strings.TrimSuffix(url, "/0?cluster=true"), "redis://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	moved := 0
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		answer := make([]byte, 256)
		if _, err := conn.Write([]byte("GET " + key + "\r\n")); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(answer)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(answer[:n]), "-MOVED ") {
			moved++
		}
	}
	if moved == 0 || moved == 8 {
		t.Errorf("got %d of 8 keys on the other server, want some on each", moved)
	}
}
