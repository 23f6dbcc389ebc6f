package config

import (
	"net/netip"
	"time"
)

// Live configures the live path: the signaling service, which introduces browsers and
// gateways to each other, and the TURN servers, which relay what cannot go directly.
type Live struct {
	// Domain is the name below which both are reached: signaling.<Domain> and turn.<Domain>.
	// HostedZoneID is the public zone in Route 53 in which these names and their certificate
	// are created. They are usually given to the synthesis, not written here:
	// docs/DEPLOYMENT.md. Without them the stage has no live path: browsers and gateways
	// require TLS, and TLS a name. Nothing of it runs then, except on the local stack.
	Domain, HostedZoneID string
	// Origins are those of pages, such as https://console.example.com, from which browsers may
	// connect, in addition to https://<Domain> and the API's own.
	Origins []string
	// CIDR is the IPv4 range of the network of the live path, /16 to /24. It is another one
	// than the database's, which no task of it can reach.
	CIDR      string
	Signaling Signaling
	Valkey    Valkey
	Turn      Turn
}

// Deployed says whether the live path runs in AWS.
func (l Live) Deployed() bool { return l.Domain != "" }

// HasTurn says whether the stage has TURN servers of its own.
func (s Stage) HasTurn() bool { return s.Live.Turn.Tasks > 0 && len(s.API.ICE.TURN) == 0 }

// Task sizes one task of Fargate; CPU is in units of a 1,024th of a vCPU.
type Task struct{ CPU, MemoryMB int }

// Signaling sizes the signaling service.
type Signaling struct {
	Task
	// MinTasks and MaxTasks bound the number of tasks.
	MinTasks, MaxTasks int
	// Connections is the number of connections of each task that scaling aims at. A task can
	// hold 20,000 (docs/bench/signaling.md); it needs room for those of one that ended.
	Connections int
}

// Valkey sizes the server by which tasks of the signaling service relay to each other.
type Valkey struct {
	// NodeType is one of ElastiCache; empty is without a server, for one task only.
	NodeType string
	// Nodes are a primary and its replicas in other zones.
	Nodes int
}

// Turn sizes the TURN servers of the stage's own. There are none with 0 tasks, nor where the
// API's ICE names others.
type Turn struct {
	Task
	Tasks int
	// UserQuota is the number of relays that a user or gateway may have at once on a server,
	// TotalQuota that of all together.
	UserQuota, TotalQuota int
	// SessionBytes limits the bytes per second, in each direction, of one relay. A limit of the
	// whole server is missing on purpose: coturn reserves this much of it for each relay, used
	// or not, and rejects the next one (docs/adr/0050).
	SessionBytes int
	// StaleNonce is how long a nonce of the server is valid: after that a client must prove
	// again that it knows its password.
	StaleNonce time.Duration
}

func defaultLive(cidr string) Live {
	return Live{
		CIDR:      cidr,
		Signaling: Signaling{Task: Task{CPU: 256, MemoryMB: 512}, MinTasks: 1, MaxTasks: 2, Connections: 5000},
		Valkey:    Valkey{NodeType: "cache.t4g.micro", Nodes: 1},
		Turn: Turn{
			Task: Task{CPU: 256, MemoryMB: 512}, Tasks: 1,
			// A page has one connection for each machine that it shows, and each gathers a relay for
			// each address of the server.
			UserQuota: 50, TotalQuota: 500,
			// A camera's 4 Mbit/s, twice.
			SessionBytes: 1 << 20,
			StaleNonce:   10 * time.Minute,
		},
	}
}

func (l Live) problems() (p problems) {
	p.expect((l.Domain == "") == (l.HostedZoneID == ""), "domain %q and hosted zone %q: want both or neither", l.Domain, l.HostedZoneID)
	p.expect(l.Domain == "" || matches(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$`, l.Domain),
		"domain %q: want a name such as live.example.com", l.Domain)
	p.expect(l.HostedZoneID == "" || matches(`^Z[A-Z0-9]{1,31}$`, l.HostedZoneID),
		"hosted zone %q: want the id of a zone of Route 53, such as Z0123456789ABCDEFGHIJ", l.HostedZoneID)
	for _, origin := range l.Origins {
		p.expect(matches(`^https://[a-z0-9.-]+(:\d+)?$`, origin), "origin %q: want https:// and a name, without a path", origin)
	}
	prefix, err := netip.ParsePrefix(l.CIDR)
	p.expect(err == nil && prefix.Addr().Is4() && prefix.Bits() >= 16 && prefix.Bits() <= 24,
		"CIDR %q: want an IPv4 range of /16 to /24", l.CIDR)
	p.in("signaling", l.Signaling.problems())
	p.in("valkey", l.Valkey.problems())
	// Tasks that do not know of each other could not relay between their peers.
	p.expect(l.Valkey.NodeType != "" || l.Signaling.MaxTasks == 1,
		"up to %d signaling tasks without Valkey: want 1 task, or a node type", l.Signaling.MaxTasks)
	p.in("turn", l.Turn.problems())
	return p
}

func (t Task) problems() (p problems) {
	// Fargate: which memory goes with which CPU, in MB.
	least, most := map[int]int{256: 512, 512: 1024, 1024: 2048, 2048: 4096, 4096: 8192}, map[int]int{
		256: 2048, 512: 4096, 1024: 8192, 2048: 16384, 4096: 30720,
	}
	p.expect(least[t.CPU] > 0, "%d CPU units: want 256, 512, 1024, 2048 or 4096", t.CPU)
	p.expect(least[t.CPU] == 0 || t.MemoryMB >= least[t.CPU] && t.MemoryMB <= most[t.CPU] && (t.MemoryMB%1024 == 0 || t.MemoryMB == 512),
		"memory of %d MB with %d CPU units: want whole GB, %d to %d MB", t.MemoryMB, t.CPU, least[t.CPU], most[t.CPU])
	return p
}

func (s Signaling) problems() (p problems) {
	p = s.Task.problems()
	p.expect(s.MinTasks >= 1 && s.MaxTasks >= s.MinTasks && s.MaxTasks <= 50,
		"%d to %d tasks: want 1 to 50, the first not above the second", s.MinTasks, s.MaxTasks)
	const perConnectionKB, baseMB = 12, 100
	need := baseMB + 2*s.Connections*perConnectionKB/1024
	p.expect(s.Connections >= 100 && s.Connections <= 20000, "%d connections of a task: want 100 to 20000", s.Connections)
	p.expect(s.MemoryMB >= need, "memory of %d MB for %d connections, and as many of a task that ended: want at least %d MB",
		s.MemoryMB, s.Connections, need)
	return p
}

func (v Valkey) problems() (p problems) {
	p.expect((v.NodeType == "") == (v.Nodes == 0), "%d nodes of type %q: want both or neither", v.Nodes, v.NodeType)
	p.expect(v.NodeType == "" || matches(`^cache\.[a-z0-9]+\.[a-z0-9]+$`, v.NodeType),
		"node type %q: want one such as cache.t4g.micro", v.NodeType)
	p.expect(v.Nodes >= 0 && v.Nodes <= 6, "%d nodes: want at most 6", v.Nodes)
	return p
}

func (t Turn) problems() (p problems) {
	if t.Tasks == 0 {
		p.expect(t == Turn{}, "want no settings of TURN servers without tasks")
		return p
	}
	p = t.Task.problems()
	p.expect(t.Tasks >= 1 && t.Tasks <= 20, "%d tasks: want 1 to 20", t.Tasks)
	const ports = 16384 // 49152 to 65535
	p.expect(t.UserQuota >= 1 && t.UserQuota <= t.TotalQuota && t.TotalQuota <= ports,
		"quotas of %d relays for each user and %d in all: want 1 to %d, the first not above the second", t.UserQuota, t.TotalQuota, ports)
	p.expect(t.SessionBytes >= 64<<10, "%d bytes/s of a relay: want at least 65536", t.SessionBytes)
	p.within("stale nonce", t.StaleNonce, time.Minute, time.Hour)
	p.expect(t.StaleNonce%time.Second == 0, "stale nonce %v: want whole seconds", t.StaleNonce)
	return p
}

// ClosedPeers returns the ranges to which TURN servers relay nothing: what is not the public
// internet (IANA's registries of special-purpose addresses), from where a peer could reach
// the server's own network, its machine or its metadata service.
func ClosedPeers() []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",       // this network
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT; AWS uses it inside too
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local: metadata and credentials of tasks
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation
		"192.88.99.0/24",  // 6to4 relays
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
		"::/96",           // unspecified, loopback, IPv4-compatible
		"::ffff:0:0/96",   // IPv4-mapped
		"64:ff9b::/96",    // NAT64
		"64:ff9b:1::/48",  // NAT64, local
		"100::/64",        // discard
		"2001::/23",       // protocol assignments, Teredo
		"2001:db8::/32",   // documentation
		"2002::/16",       // 6to4
		"fc00::/7",        // unique local; fd00:ec2::254 is the metadata service
		"fe80::/10",       // link-local
		"fec0::/10",       // site-local
		"ff00::/8",        // multicast
	} {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}
