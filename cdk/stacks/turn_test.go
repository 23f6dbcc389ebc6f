package stacks_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/local/coturn"
	"github.com/insighthub/insighthub/cdk/local/coturn/coturntest"
	"github.com/insighthub/insighthub/lib/turn"
)

const turnSecret = "shared"

// turnDefinition is the task definition of the TURN servers in a template: its options, and
// the entry point of its image.
type turnDefinition struct {
	options []string
	entry   string
	broken  bool // on purpose
}

func readTurn(t *testing.T, a assembly) turnDefinition {
	t.Helper()
	for _, r := range a.ofType("AWS::ECS::TaskDefinition") {
		if r.Metadata["insighthub:package"] != "coturn" {
			continue
		}
		containers := list(r.Properties["ContainerDefinitions"])
		container, _ := containers[0].(map[string]any)
		var d turnDefinition
		for _, option := range list(container["Command"]) {
			d.options = append(d.options, option.(string))
		}
		hash := regexp.MustCompile(`:([0-9a-f]{64})"`).FindStringSubmatch(text(container["Image"]))
		if len(hash) == 0 || len(containers) != 1 {
			t.Fatalf("containers %s, want one with an image of the assembly", text(containers))
		}
		d.entry = filepath.Join(a.Dir, "asset."+hash[1], "entrypoint.sh")
		return d
	}
	t.Fatal("no task definition of coturn")
	return turnDefinition{}
}

// start runs Debian's coturn by the task definition's entry point with its options. Only the
// addresses, the port and the files of the machine are others.
func (d turnDefinition) start(t *testing.T, public string, options ...string) *coturn.Server {
	t.Helper()
	log := &strings.Builder{}
	server, err := coturn.Start(t.Context(), coturn.Config{
		Tree: coturntest.Tree(t), EntryPoint: d.entry, Options: append(slices.Clone(d.options), options...), Secret: turnSecret,
		Public: public, Folder: t.TempDir(), Logs: log,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		// An option that coturn does not know is reported, and ignored.
		if unknown := regexp.MustCompile(`(?i).*(unrecognized|unknown|requires an argument|ambiguous|bad configuration).*`).
			FindString(log.String()); unknown != "" && !d.broken {
			t.Errorf("coturn: %s", unknown)
		}
	})
	return server
}

// client returns a client with a valid credential of a user.
func client(t *testing.T, s *coturn.Server, network, user string) *coturntest.Client {
	t.Helper()
	name, password := turn.Credential([]byte(turnSecret), user, time.Now().Add(turn.Lifetime))
	return coturntest.Dial(t, network, s.Addr(), name, password)
}

// allocated returns a client with a relay.
func allocated(t *testing.T, s *coturn.Server, user string, family byte) (*coturntest.Client, netip.AddrPort) {
	t.Helper()
	c := client(t, s, "udp", user)
	relayed, _, code, err := c.Allocate(coturntest.UDP, family, time.Minute)
	if err != nil || code != 0 {
		t.Fatalf("allocate: code %d, %v", code, err)
	}
	return c, relayed
}

// TestTurn runs Debian's coturn as the task definition says, and requests what it must reject.
func TestTurn(t *testing.T) {
	s := stage(t, config.Staging)
	d := readTurn(t, synthesiseWith(t, s))
	t.Run("options", func(t *testing.T) { checkTurnOptions(t, s, d) })
	t.Run("equals sign", func(t *testing.T) { checkEqualsSign(t, s, d) })
	t.Run("peers", func(t *testing.T) { checkTurnPeers(t, d) })
	t.Run("between relays", func(t *testing.T) { checkBetweenRelays(t, d) })
	t.Run("credential expires", func(t *testing.T) { checkCredentialExpires(t, d) })
}

// checkTurnOptions: each option of the task definition is in force, and its check sees when it
// is not.
func checkTurnOptions(t *testing.T, s config.Stage, d turnDefinition) {
	t.Helper()
	checks := turnChecks(t, s)
	for _, option := range d.options {
		if !slices.ContainsFunc(checks, func(c turnCheck) bool { return c.is(option) }) && !strings.HasPrefix(option, "--denied-peer-ip=") {
			t.Errorf("%s has no check", option)
		}
	}
	for _, c := range checks {
		t.Run(strings.TrimLeft(c.option, "-"), func(t *testing.T) {
			changed := c.with(d)
			if !slices.ContainsFunc(changed.options, c.is) {
				t.Fatalf("the task definition has no %s", c.option)
			}
			if err := c.check(t, changed.start(t, "", c.extra...)); err != nil {
				t.Error(err)
			}
			if c.covered != "" {
				return
			}
			without := turnDefinition{entry: d.entry, options: slices.DeleteFunc(slices.Clone(changed.options), c.is)}
			if err := c.check(t, without.start(t, "", slices.Concat(c.extra, c.without)...)); err == nil {
				t.Error("without the option the check passes too")
			}
		})
	}
}

// checkEqualsSign: coturn takes an option whose value is in the next argument
// as one without a value. The check sees it.
func checkEqualsSign(t *testing.T, s config.Stage, d turnDefinition) {
	t.Helper()
	for _, option := range d.options {
		if _, err := strconv.Atoi(option); err == nil {
			t.Errorf("%q is an argument of its own", option)
		}
	}
	for _, name := range []string{"--stale-nonce", "--max-allocate-lifetime"} {
		t.Run(strings.TrimLeft(name, "-"), func(t *testing.T) {
			checks := turnChecks(t, s)
			c := checks[slices.IndexFunc(checks, func(c turnCheck) bool { return c.option == name })]
			broken := turnDefinition{entry: d.entry, broken: true}
			for _, option := range c.with(d).options {
				if c.is(option) {
					broken.options = append(broken.options, strings.SplitN(option, "=", 2)...)
				} else {
					broken.options = append(broken.options, option)
				}
			}
			err := c.check(t, broken.start(t, ""))
			t.Logf("%s: %v", name, err)
			if err == nil {
				t.Errorf("%s is in force without an equals sign: the reason of the form has gone", name)
			}
		})
	}
}

// checkTurnPeers: of each closed range the first and the last address, and others of it, are
// denied as peers, and would not be without its option; addresses of the internet are not.
func checkTurnPeers(t *testing.T, d turnDefinition) {
	t.Helper()
	ranges := config.ClosedPeers()
	var all []string
	for _, p := range ranges {
		addresses := []string{p.Addr().String(), p.Addr().Next().String(), lastOf(p).String()}
		all = append(all, addresses...)
		t.Run(strings.ReplaceAll(p.String(), "/", "-"), func(t *testing.T) {
			option := "--denied-peer-ip=" + p.Addr().String() + "-" + lastOf(p).String()
			if p.Addr() == netip.IPv6Unspecified() { // else it would be a range of all addresses
				option = "--denied-peer-ip=::1-::ffff:ffff"
			}
			// Of overlapping ranges, and those that coturn closes by itself, another one would do.
			own := func(o string) bool { return o == option || o == "--no-multicast-peers" }
			if !slices.Contains(d.options, option) {
				t.Fatalf("the task definition has no %s", option)
			}
			if p.Addr() == netip.IPv4Unspecified() {
				return // coturn denies these by itself
			}
			without := turnDefinition{entry: d.entry, options: slices.DeleteFunc(slices.Clone(d.options), own)}
			open := without.start(t, "", "--relay-ip=::1", "--allow-loopback-peers")
			if err := denied(addresses...)(t, open); err == nil {
				t.Errorf("without the option %v are denied too", addresses)
			}
		})
	}
	server := d.start(t, "", "--relay-ip=::1")
	all = append(all, "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "10.46.3.7",
		"64:ff9b::a00:1")
	if err := denied(all...)(t, server); err != nil {
		t.Error(err)
	}
	for _, peer := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.167.255.255",
		"223.255.255.255", "2001:4860:4860::8888", "2a00:1450:4001:82a::200e", "2600:1f00::1",
	} {
		if err := denied(peer)(t, server); err == nil {
			t.Errorf("%s is denied", peer)
		}
	}
}

// denied checks that no permission and no channel is given for peers.
func denied(peers ...string) func(*testing.T, *coturn.Server) error {
	return func(t *testing.T, server *coturn.Server) error {
		t.Helper()
		v4, _ := allocated(t, server, "gw-1", coturntest.IPv4)
		v6 := v4
		for i, peer := range peers {
			at := netip.AddrPortFrom(netip.MustParseAddr(peer), 5000)
			c := v4
			if at.Addr().Is6() {
				if v6 == v4 {
					v6, _ = allocated(t, server, "gw-1", coturntest.IPv6)
				}
				c = v6
			}
			code, err := c.Permit(at)
			if err := want("permission for "+peer, code, 403, err); err != nil {
				return err
			}
			code, err = c.Bind(uint16(0x4000+i), at)
			if err := want("channel to "+peer, code, 403, err); err != nil {
				return err
			}
		}
		return nil
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(raw); i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// checkBetweenRelays: two peers that are both relayed by one server reach each other by its
// public address, although its own one, to which coturn translates it, is in a closed range.
func checkBetweenRelays(t *testing.T, d turnDefinition) {
	t.Helper()
	const public = "198.18.0.1" // any address that is not this machine's
	server := d.start(t, public, "--allow-loopback-peers")
	if _, relayed := allocated(t, server, "gw-1", coturntest.IPv4); relayed.Addr().String() != public {
		t.Errorf("the relay is at %v, want %s", relayed, public)
	}
	if arrived := relayedPackets(t, server, 20, 100); arrived == 0 {
		t.Error("no packet arrived")
	}
	if err := denied("127.0.0.2")(t, server); err != nil {
		t.Errorf("the rest of the range: %v", err)
	}
}

// checkCredentialExpires: what is relayed goes on when the credential has expired, and is
// refreshed; a new relay is rejected. Hence the platform ends sessions itself.
func checkCredentialExpires(t *testing.T, d turnDefinition) {
	t.Helper()
	const lifetime = 3 * time.Second
	d = turnCheck{option: "--stale-nonce", value: "2"}.with(d)
	server := d.start(t, "", "--allow-loopback-peers")
	expires := time.Now().Add(lifetime)
	name, password := turn.Credential([]byte(turnSecret), "gw-1", expires)
	running := coturntest.Dial(t, "udp", server.Addr(), name, password)
	_, _, code, err := running.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
	if err := want("before it expires", code, 0, err); err != nil {
		t.Fatal(err)
	}
	// Credentials have whole seconds, and the nonce has to be stale too.
	time.Sleep(time.Until(expires) + 2*time.Second)
	code, err = running.Refresh(time.Minute)
	if err := want("refresh of a running relay", code, 0, err); err != nil {
		t.Error(err)
	}
	code, err = running.Permit(netip.MustParseAddrPort("8.8.8.8:53"))
	if err := want("permission on a running relay", code, 0, err); err != nil {
		t.Error(err)
	}
	_, _, code, err = coturntest.Dial(t, "udp", server.Addr(), name, password).Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
	if err := want("a new relay", code, 401, err); err != nil {
		t.Error(err)
	}
}
