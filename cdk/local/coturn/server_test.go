package coturn_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/local/coturn"
	"github.com/insighthub/insighthub/cdk/local/coturn/coturntest"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/lib/turn"
)

const entryPoint = "../../constructs/turn/entrypoint.sh"

// TestServer starts two servers at the same time, each of which relays, and stops them.
func TestServer(t *testing.T) {
	t.Parallel()
	tree := coturntest.Tree(t)
	var pids []int
	for range 2 {
		server, err := coturn.Start(t.Context(), coturn.Config{
			Tree: tree, EntryPoint: entryPoint, Options: []string{"--realm=test", "--log-file=stdout"}, Secret: "shared",
		})
		if err != nil {
			t.Fatal(err)
		}
		name, password := turn.Credential([]byte("shared"), "gw-1", time.Now().Add(time.Minute))
		c := coturntest.Dial(t, "udp", server.Addr(), name, password)
		relayed, _, code, err := c.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
		if err != nil || code != 0 || relayed.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("got a relay at %v, code %d, %v", relayed, code, err)
		}
		pids = append(pids, server.PID())
		defer func() {
			if err := server.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			processtest.Gone(t, server.PID())
		}()
	}
	if pids[0] == pids[1] {
		t.Error("one process")
	}
}

// TestSecretIsNotOnTheCommandLine: other users of the machine see command lines.
func TestSecretIsNotOnTheCommandLine(t *testing.T) {
	t.Parallel()
	server, err := coturn.Start(t.Context(), coturn.Config{
		Tree: coturntest.Tree(t), EntryPoint: entryPoint, Options: []string{"--realm=test"}, Secret: "hidden",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(t.Context()) }()
	for _, file := range []string{"cmdline", "environ"} {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(server.PID()), file))
		if err != nil || strings.Contains(string(raw), "hidden") {
			t.Errorf("%s: %q, %v", file, raw, err)
		}
	}
}

// TestEntryPointRejects: each missing or wrong setting ends the server with its name, and
// without the secret.
func TestEntryPointRejects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ secret, address, public, want string }{
		{"", "127.0.0.1", "127.0.0.1", "TURN_SECRET is not set"},
		{"two\nlines=hidden", "127.0.0.1", "127.0.0.1", "TURN_SECRET: want letters"},
		{"hidden", "127.0.0.1", "example.com", "public address is not of IPv4: example.com"},
		{"hidden", "127.0.0.1", "1.2.3.4\nno-auth", "public address is not of IPv4"},
	} {
		log := &strings.Builder{}
		server, err := coturn.Start(t.Context(), coturn.Config{
			Tree: coturntest.Tree(t), EntryPoint: entryPoint, Secret: c.secret, Address: c.address, Public: c.public, Logs: log,
		})
		if err == nil {
			_ = server.Stop(t.Context())
			t.Errorf("%q: the server runs", c.want)
			continue
		}
		if !strings.Contains(log.String(), c.want) || strings.Contains(log.String(), "hidden") {
			t.Errorf("got %q, want %q", log, c.want)
		}
	}
}

// TestNotInstalled says what to do.
func TestNotInstalled(t *testing.T) {
	t.Parallel()
	_, err := coturn.Start(t.Context(), coturn.Config{Tree: t.TempDir(), EntryPoint: entryPoint, Secret: "shared"})
	if err == nil || !strings.Contains(err.Error(), "install.sh") {
		t.Errorf("got %v, want what to run", err)
	}
}
