package config

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Throttle limits the requests to one route, from all clients together: a token bucket of
// Burst tokens to which RequestsPerSecond are added each second. A request without a token
// gets 429 from API Gateway; it invokes no function.
type Throttle struct{ RequestsPerSecond, Burst int }

// Throttles are the limits of the API's routes by class (docs/adr/0041).
type Throttles struct {
	// Telemetry, Exports and Resources (all others) require a token.
	Telemetry, Exports, Resources Throttle
	// Login, Refresh, Logout and Token issue and end tokens. Keys are the documents below
	// /.well-known, and Contract the description of the API.
	Login, Refresh, Logout, Token, Keys, Contract Throttle
}

// routeClass is a class of routes: those of open ones anybody may call.
type routeClass struct {
	name   string
	limit  Throttle
	routes int // each has the limit for itself
	open   bool
	// took is how long an invocation of its function takes at most, usually.
	took time.Duration
}

func (t Throttles) classes() []routeClass {
	const query, hash = 25 * time.Millisecond, 150 * time.Millisecond
	return []routeClass{
		// Kinesis acknowledges records after about 15 ms.
		{"telemetry", t.Telemetry, 1, false, 20 * time.Millisecond},
		{"exports", t.Exports, 1, false, 0},
		{"resources", t.Resources, 1, false, 0},
		{"login", t.Login, 1, true, hash},
		{"refresh", t.Refresh, 1, true, query},
		{"logout", t.Logout, 1, true, query},
		{"token", t.Token, 1, true, query},
		{"keys", t.Keys, 2, true, query},
		{"contract", t.Contract, 2, true, 0},
	}
}

func (a API) throttleProblems() (p problems) {
	p.expect(a.RequestsPerSecond >= 1 && a.Burst >= 1,
		"%d requests per second in bursts of %d: want at least 1", a.RequestsPerSecond, a.Burst)
	rate, burst, open := 0, 0, 0
	for _, c := range a.Throttles.classes() {
		p.expect(c.limit.RequestsPerSecond >= 1 && c.limit.Burst >= 1,
			"throttle of %s: %d requests per second in bursts of %d: want at least 1", c.name, c.limit.RequestsPerSecond, c.limit.Burst)
		rate += c.routes * c.limit.RequestsPerSecond
		burst += c.routes * c.limit.Burst
		if c.open {
			open += c.routes * c.limit.RequestsPerSecond
		}
	}
	// The account's limit is the only one that the routes share.
	p.expect(rate <= a.RequestsPerSecond && burst <= a.Burst,
		"throttles of all routes: %d requests per second in bursts of %d: want at most the API's %d and %d, "+
			"or one route takes what others need",
		rate, burst, a.RequestsPerSecond, a.Burst)
	p.expect(10*open <= a.RequestsPerSecond,
		"throttles of open routes: %d requests per second: want at most a tenth of the API's %d", open, a.RequestsPerSecond)
	return p
}

// unreserved is the concurrency that AWS keeps for functions without a reserved one.
const unreserved = 100

// functions returns the sizes of all functions by their names, functions/<name>.
func (s *Stage) functions() map[string]*Function {
	return map[string]*Function{
		"access": &s.API.Access, "api": &s.API.Resources, "audit": &s.Audit.Function, "authorizer": &s.API.Authorizer,
		"bridge": &s.Bridge.Function, "clock": &s.Clock, "detect": &s.Detect.Function, "ingest": &s.Ingest.Function,
		"migrate": &s.Migrate, "refusals": &s.API.Refusals, "rollup": &s.Rollup, "store": &s.Store.Function,
	}
}

// Functions returns the sizes of all functions by their names, functions/<name>.
func (s Stage) Functions() map[string]Function {
	all := make(map[string]Function)
	for name, f := range s.functions() {
		all[name] = *f
	}
	return all
}

// usesDatabase reports whether a function has connections to the database.
func usesDatabase(name string) bool {
	return slices.Contains([]string{"access", "api", "bridge", "detect", "migrate", "refusals", "rollup", "store"}, name)
}

// reserve sets the reserved concurrency of functions by their names.
func (s *Stage) reserve(concurrency map[string]int) {
	functions := s.functions()
	for name, n := range concurrency {
		functions[name].ReservedConcurrency = n
	}
}

// shards is the greatest number of shards of the stream.
func (s Stream) shards() int {
	if s.Mode == OnDemand {
		return s.MaxShards
	}
	return s.Shards
}

func (s Stage) concurrencyProblems() (p problems) {
	reserved := 0
	functions := s.functions()
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		reserved += f.ReservedConcurrency
		p.expect((f.Connections > 0) == usesDatabase(name), "%s: %d database connections: want some if and only if it uses the database",
			name, f.Connections)
	}
	p.expect(s.AccountConcurrency > 0 || s.Name == Dev, "account concurrency 0, which reserves nothing: want this in dev only")
	p.expect(s.AccountConcurrency <= 0 || reserved+unreserved <= s.AccountConcurrency,
		"%d reserved by all functions, and %d that AWS lets nobody reserve: want at most the account's %d; "+
			"ask AWS for more (Service Quotas, L-B99A9384), or, in dev, set 0, which reserves nothing",
		reserved, unreserved, s.AccountConcurrency)
	p.expect(s.AccountConcurrency >= 0, "account concurrency %d: want 0 or more", s.AccountConcurrency)

	// A consumer is invoked for each shard and lane at once.
	for _, c := range []struct {
		name            string
		parallelization int
	}{{"store", s.Store.Parallelization}, {"bridge", s.Bridge.Parallelization}, {"detect", s.Detect.Parallelization}} {
		lanes, reserved := s.Stream.shards()*c.parallelization, functions[c.name].ReservedConcurrency
		p.expect(reserved >= lanes, "%s: %d reserved: want at least %d (%d shards × %d)",
			c.name, reserved, lanes, s.Stream.shards(), c.parallelization)
	}
	// The functions before which the throttles stand can serve what these let pass.
	const verify = 10 * time.Millisecond // of the authorizer, by a network with a bad day
	need := map[string]time.Duration{}   // of invocations in each second
	for _, c := range s.API.Throttles.classes() {
		perSecond := time.Duration(c.routes * c.limit.RequestsPerSecond)
		if !c.open {
			need["authorizer"] += perSecond * verify
		}
		switch {
		case c.name == "telemetry":
			need["ingest"] += perSecond * c.took
		case c.open:
			need["access"] += perSecond * c.took
		}
	}
	p.expect(s.API.Access.ReservedConcurrency >= s.API.Throttles.Login.Burst,
		"access: %d reserved: want at least the %d of a burst of logins, each of which takes long",
		s.API.Access.ReservedConcurrency, s.API.Throttles.Login.Burst)
	for _, name := range slices.Sorted(maps.Keys(need)) {
		least := int(math.Ceil(need[name].Seconds()))
		p.expect(functions[name].ReservedConcurrency >= least,
			"%s: %d reserved: want at least %d for the requests that its routes' throttles let pass",
			name, functions[name].ReservedConcurrency, least)
	}
	return p
}

// MaxDatabaseConnections is max_connections of the stack's own database. Of these,
// PostgreSQL keeps three for superusers, and operators and their tools have the others
// that the functions leave.
const (
	MaxDatabaseConnections = 400
	superuserConnections   = 3
	operatorConnections    = 12
)

// DatabaseConnections returns for each function that uses the database the greatest number of
// its connections, by the function's name: those of its environments, twice, because in a
// deployment the new ones start while the old ones, frozen, still hold theirs.
func (s Stage) DatabaseConnections() map[string]int {
	limits := make(map[string]int)
	for name, f := range s.functions() {
		if f.Connections > 0 {
			limits[name] = 2 * f.ReservedConcurrency * f.Connections
		}
	}
	return limits
}

func (s Stage) connectionProblems() (p problems) {
	sum := 0
	limits := s.DatabaseConnections()
	for _, n := range limits {
		sum += n
	}
	most := MaxDatabaseConnections - superuserConnections - operatorConnections
	p.expect(sum <= most, "%d connections of all functions (%v): want at most %d", sum, limits, most)
	return p
}
