package stacks_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/local/coturn"
	"github.com/insighthub/insighthub/cdk/local/coturn/coturntest"
	"github.com/insighthub/insighthub/lib/turn"
)

// turnCheck is what one option does. Without it, or with it in the form that coturn ignores,
// the check must fail: otherwise it would pass whatever the task definition says.
type turnCheck struct {
	option string // its start
	// value replaces the option's, where the task definition's would take minutes to see. The
	// form of the option stays that of the task definition.
	value string
	check func(t *testing.T, s *coturn.Server) error
	// extra options of both servers, more of the one without the option.
	extra, without []string
	// covered says that another option, or coturn's default, has the same effect: the reason.
	covered string
}

func (c turnCheck) is(option string) bool {
	return option == c.option || strings.HasPrefix(option, c.option+"=") || strings.HasPrefix(option, c.option+" ")
}

// with returns the options with the check's value in that of the task definition.
func (c turnCheck) with(d turnDefinition) turnDefinition {
	options := slices.Clone(d.options)
	for i, option := range options {
		if c.is(option) && c.value != "" {
			options[i] = regexp.MustCompile(`\d+`).ReplaceAllString(option, c.value)
		}
	}
	return turnDefinition{options: options, entry: d.entry}
}

func want(what string, got, code int, err error) error {
	if err == nil && got != code {
		err = fmt.Errorf("%s: code %d, want %d", what, got, code)
	}
	return err
}

// turnChecks has a check for each option of the task definition.
func turnChecks(t *testing.T, s config.Stage) []turnCheck {
	t.Helper()
	settings := s.Live.Turn
	const nonceSeconds, bytesPerSecond = 2, 20_000
	checks := []turnCheck{
		{option: "--use-auth-secret", check: checkCredentials, covered: "the entry point's static-auth-secret has the same effect"},
		{option: "--realm", check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			c := client(t, server, "udp", "gw-1")
			if _, _, code, err := c.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute); err != nil || code != 0 {
				return fmt.Errorf("allocate: code %d, %w", code, err)
			}
			if c.Realm != s.Live.Domain {
				return fmt.Errorf("realm %q, want %q", c.Realm, s.Live.Domain)
			}
			return nil
		}},
		{option: "--fingerprint", check: bindingHas(stun.AttrFingerprint, true)},
		{option: "--no-software-attribute", check: bindingHas(stun.AttrSoftware, false)},
		{option: "--no-stun-backward-compatibility", check: bindingHas(stun.AttrMappedAddress, false)},
		{option: "--response-origin-only-with-rfc5780", check: bindingHas(stun.AttrResponseOrigin, false)},
		{
			option: "--no-rfc5780", check: bindingHas(stun.AttrOtherAddress, false),
			covered: "a server with one address has no other to name",
		},
		{option: "--listening-port", check: nothingElseListens, covered: "the local port is another one"},
		{option: "--no-cli", check: nothingElseListens, without: []string{"--cli-port=" + freeTCP(t), "--cli-password=open"}},
		{option: "--no-tls", check: nothingElseListens, covered: "the server has no certificate"},
		{option: "--no-dtls", check: nothingElseListens, covered: "the server has no certificate"},
		{option: "--min-port", check: relayPorts, covered: "it is coturn's default too"},
		{option: "--max-port", check: relayPorts, covered: "it is coturn's default too"},
		{option: "--no-tcp-relay", check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			_, _, code, err := client(t, server, "tcp", "gw-1").Allocate(coturntest.TCP, coturntest.IPv4, time.Minute)
			return want("a relay over TCP", code, 442, err)
		}},
		{option: "--max-allocate-lifetime", check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			_, lifetime, _, err := client(t, server, "udp", "gw-1").Allocate(coturntest.UDP, coturntest.IPv4, time.Hour)
			if err == nil && lifetime != 10*time.Minute {
				err = fmt.Errorf("a relay for an hour lasts %v, want 10m", lifetime)
			}
			return err
		}},
		{option: "--stale-nonce", value: strconv.Itoa(nonceSeconds), check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			c, _ := allocated(t, server, "gw-1", coturntest.IPv4)
			if _, code, err := c.Once(stun.MethodRefresh); err != nil || code != 0 {
				return fmt.Errorf("refresh at once: code %d, %w", code, err)
			}
			time.Sleep((nonceSeconds + 1) * time.Second) // the server's clock, not this test's speed
			_, code, err := c.Once(stun.MethodRefresh)
			return want("a refresh with an old nonce", code, 438, err)
		}},
		{option: "--user-quota", check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			for range settings.UserQuota {
				allocated(t, server, "gw-1", coturntest.IPv4)
			}
			// Another credential of the same user does not help; another user has a quota of its own.
			name, password := turn.Credential([]byte(turnSecret), "gw-1", time.Now().Add(time.Hour))
			other := coturntest.Dial(t, "udp", server.Addr(), name, password)
			_, _, code, err := other.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
			if err := want("a relay beyond the user's quota", code, 486, err); err != nil {
				return err
			}
			allocated(t, server, "gw-2", coturntest.IPv4)
			return nil
		}},
		{option: "--total-quota", value: strconv.Itoa(settings.UserQuota + 1), check: func(t *testing.T, server *coturn.Server) error {
			t.Helper()
			for i := range settings.UserQuota + 1 {
				allocated(t, server, fmt.Sprint("gw-", i), coturntest.IPv4)
			}
			_, _, code, err := client(t, server, "udp", "gw-last").Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
			return want("a relay beyond the quota of all", code, 486, err)
		}},
		{
			option: "--max-bps", value: strconv.Itoa(bytesPerSecond), extra: []string{"--allow-loopback-peers"},
			check: func(t *testing.T, server *coturn.Server) error {
				t.Helper()
				const sent, size, least = 200, 1000, 4
				arrived := relayedPackets(t, server, sent, size)
				if arrived < least || arrived*size > 4*bytesPerSecond {
					return fmt.Errorf("%d of %d packets of %d bytes arrived, want no more than the limit of %d bytes/s lets pass",
						arrived, sent, size, bytesPerSecond)
				}
				return nil
			},
		},
		{
			option: "--no-multicast-peers", check: denied("224.0.0.1", "ff02::1"), extra: []string{"--relay-ip=::1"},
			covered: "the denied ranges have them too",
		},
	}
	for _, option := range []string{
		"--log-file", "--simple-log", "--new-log-timestamp", "--userdb", "--pidfile", "--no-auth-pings", "--no-dynamic-ip-list",
		"--no-dynamic-realms",
	} {
		checks = append(checks, turnCheck{option: option, check: checkCredentials, covered: "it opens nothing"})
	}
	return checks
}

// checkCredentials wants that only a credential of the secret that has not expired allocates.
func checkCredentials(t *testing.T, server *coturn.Server) error {
	t.Helper()
	name, password := turn.Credential([]byte(turnSecret), "gw-1", time.Now().Add(time.Minute))
	expired, expiredPassword := turn.Credential([]byte(turnSecret), "gw-1", time.Now().Add(-2*time.Second))
	_, otherPassword := turn.Credential([]byte("another"), "gw-1", time.Now().Add(time.Minute))
	for what, c := range map[string]struct {
		name, password string
		code           int
	}{
		"a valid credential":              {name, password, 0},
		"an expired credential":           {expired, expiredPassword, 401},
		"a credential of another secret":  {name, otherPassword, 401},
		"another user's name":             {name + "x", password, 401},
		"a user name without a time":      {"gw-1", password, 401},
		"no user name and no credentials": {"", "", 401},
	} {
		one := coturntest.Dial(t, "udp", server.Addr(), c.name, c.password)
		_, _, code, err := one.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
		if err := want(what, code, c.code, err); err != nil {
			return err
		}
	}
	return nil
}

// bindingHas checks an attribute of the response to a request of STUN.
func bindingHas(attribute stun.AttrType, has bool) func(*testing.T, *coturn.Server) error {
	return func(t *testing.T, server *coturn.Server) error {
		t.Helper()
		response, code, err := coturntest.Dial(t, "udp", server.Addr(), "", "").Once(stun.MethodBinding)
		if err == nil && code == 0 && response.Contains(attribute) != has {
			err = fmt.Errorf("the response has %v: %t, want %t", attribute, !has, has)
		}
		return want("binding", code, 0, err)
	}
}

func relayPorts(t *testing.T, server *coturn.Server) error {
	t.Helper()
	if _, relayed := allocated(t, server, "gw-1", coturntest.IPv4); relayed.Port() < 49152 {
		return fmt.Errorf("a relay at %v", relayed)
	}
	return nil
}

// nothingElseListens looks at the sockets of the process.
func nothingElseListens(t *testing.T, server *coturn.Server) error {
	t.Helper()
	pid := strconv.Itoa(server.PID())
	sockets := ""
	fds, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		link, _ := os.Readlink("/proc/" + pid + "/fd/" + fd.Name())
		sockets += link + " "
	}
	found := false
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		raw, err := os.ReadFile("/proc/" + pid + "/net/" + file)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(raw), "\n")[1:] {
			fields := strings.Fields(line)
			if len(fields) < 10 || !strings.Contains(sockets, "socket:["+fields[9]+"]") {
				continue
			}
			_, port, _ := strings.Cut(fields[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				return err
			}
			const listening, unconnected = "0A", "07"
			if fields[3] == listening || fields[3] == unconnected {
				if int(n) != server.Port() {
					return fmt.Errorf("it listens at %s port %d too", file, n)
				}
				found = true
			}
		}
	}
	if !found {
		return errors.New("no socket found")
	}
	return nil
}

func freeTCP(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(freePort(t))
}

// relayedPackets sends packets, evenly over a second, from one relay to another of the same
// server, and returns how many arrived.
func relayedPackets(t *testing.T, server *coturn.Server, n, size int) int {
	t.Helper()
	from, fromAt := allocated(t, server, "gw-1", coturntest.IPv4)
	to, toAt := allocated(t, server, "ada", coturntest.IPv4)
	const channel = 0x4001
	for _, bind := range []func() (int, error){
		func() (int, error) { return from.Bind(channel, toAt) }, func() (int, error) { return to.Bind(channel, fromAt) },
	} {
		if code, err := bind(); err != nil || code != 0 {
			t.Fatalf("bind a channel: code %d, %v", code, err)
		}
	}
	sent := make(chan error, 1)
	go func() {
		pace := time.NewTicker(time.Second / time.Duration(n))
		defer pace.Stop()
		for range n {
			<-pace.C
			if err := from.Send(channel, make([]byte, size)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	arrived := 0
	for arrived < n {
		data, err := to.Receive(2 * time.Second)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil || len(data) != size {
			t.Fatalf("got %d bytes, %v", len(data), err)
		}
		arrived++
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	return arrived
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
