package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// LogRetentionDays returns the retention periods of CloudWatch Logs that a stage may
// choose.
func LogRetentionDays() []int {
	return []int{1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653}
}

// Validate returns every problem of s at once, joined, or nil.
func (s Stage) Validate() error {
	var p problems
	p.expect(oneOf(s.Name, Dev, Staging, Prod), "name %q: want dev, staging or prod", s.Name)
	p.expect((s.Account == "") == (s.Region == ""), "account %q and region %q: want both or neither", s.Account, s.Region)
	p.expect(s.Account == "" || matches(`^\d{12}$`, s.Account), "account %q: want 12 digits", s.Account)
	pinned := s.Account != ""
	p.expect(pinned == (len(s.AvailabilityZones) > 0),
		"availability zones %q: want them if and only if account and region are set", s.AvailabilityZones)
	for _, az := range s.AvailabilityZones {
		p.expect(strings.HasPrefix(az, s.Region), "availability zone %q is not in region %q", az, s.Region)
	}
	p.expect(len(s.Zones) == 2 && s.Zones[0] != s.Zones[1] && matches(`^[a-z]$`, s.Zones[0]) && matches(`^[a-z]$`, s.Zones[1]),
		"zones %q: want the letters of two availability zones, such as a and b", s.Zones)
	if pinned && len(s.Zones) == 2 {
		want := []string{s.Region + s.Zones[0], s.Region + s.Zones[1]}
		p.expect(slices.Equal(s.AvailabilityZones, want), "availability zones %q: want %q, those of zones", s.AvailabilityZones, want)
	}
	p.expect(oneOf(s.Encryption, AWSManaged, CustomerKey), "encryption %q: want aws-managed or customer-key", s.Encryption)
	p.expect(s.Encryption == CustomerKey || !s.Database.CustomerKey && !s.Monitoring.CustomerKey,
		"CustomerKey of the database or of monitoring: want encryption customer-key for the stage")
	p.expect(oneOf(s.Removal, Keep, Destroy), "removal %q: want keep or destroy", s.Removal)
	p.expect(s.Name != Prod || s.Removal == Keep, "removal %q: want keep in prod", s.Removal)
	p.expect(s.AlarmEmail == "" || strings.Contains(s.AlarmEmail, "@"), "alarm e-mail %q: want an address with @", s.AlarmEmail)

	p.expect(s.AlarmTopicARN == "" || matches(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$`, s.AlarmTopicARN),
		"alarm topic %q: want the ARN of an SNS topic", s.AlarmTopicARN)

	p.in("stream", s.Stream.problems())
	p.in("ingest", s.Ingest.problems())
	p.in("store", s.Store.problems(s.Stream.Retention))
	p.in("bridge", s.Bridge.problems(s.Stream.Retention))
	p.in("detect", s.Detect.problems(s.Stream.Retention))
	p.in("clock", s.Clock.problems())
	p.in("migrate", s.Migrate.problems())
	// The deployment's own function, which waits for it, ends after 15 minutes.
	p.expect(s.Migrate.Timeout <= 14*time.Minute, "migrate: timeout %v: want at most 14m0s", s.Migrate.Timeout)
	p.in("rollup", s.Rollup.problems())
	p.in("retention", s.Retention.problems(s.Ingest.RetentionDays))
	p.in("api", s.API.problems())
	p.in("audit", s.Audit.problems())
	p.in("tokens", s.Tokens.problems())
	p.in("database", s.Database.problems())
	p.in("concurrency", s.concurrencyProblems())
	if s.Database.Kind == OwnInstance {
		p.in("database", s.connectionProblems())
	}
	p.in("network", s.Network.problems(s.Database.HasInstance()))
	p.in("monitoring", s.Monitoring.problems())
	p.in("live", s.Live.problems())
	p.in("log", s.Log.problems())
	if err := errors.Join(p...); err != nil {
		return fmt.Errorf("stage %q: %w", s.Name, err)
	}
	return nil
}

// ValidateAlarmTarget returns an error when alarms of the stage would reach nobody.
func (s Stage) ValidateAlarmTarget() error {
	if s.Name == Dev || s.AlarmEmail != "" || s.AlarmTopicARN != "" {
		return nil
	}
	return fmt.Errorf("stage %q: alarms would notify nobody: set INSIGHTHUB_ALARM_EMAIL to an e-mail address or "+
		"INSIGHTHUB_ALARM_TOPIC to the ARN of an SNS topic, or pass -c alarmEmail=… or -c alarmTopic=… (docs/DEPLOYMENT.md)", s.Name)
}

func (s Stream) problems() (p problems) {
	p.expect(oneOf(s.Mode, Provisioned, OnDemand), "mode %q: want provisioned or on-demand", s.Mode)
	p.expect(s.Mode != Provisioned || s.Shards >= 1, "%d shards: want at least 1", s.Shards)
	p.expect(s.Mode != OnDemand || s.Shards == 0, "%d shards: want none in on-demand mode", s.Shards)
	p.expect((s.Mode == OnDemand) == (s.MaxShards > 0), "at most %d shards: want this in on-demand mode, and only there", s.MaxShards)
	p.within("retention", s.Retention, 24*time.Hour, 365*24*time.Hour)
	p.expect(s.Retention%time.Hour == 0, "retention %v: want whole hours", s.Retention)
	return p
}

func (f Function) problems() (p problems) {
	p.expect(f.MemoryMB >= 128 && f.MemoryMB <= 10240, "memory %d MB: want 128 to 10240", f.MemoryMB)
	p.within("timeout", f.Timeout, time.Second, 15*time.Minute)
	p.expect(f.ReservedConcurrency >= 1, "reserved concurrency %d: want at least 1", f.ReservedConcurrency)
	p.expect(f.Connections >= 0 && f.Connections <= 8, "%d database connections: want 0 to 8", f.Connections)
	return p
}

func (i Ingest) problems() (p problems) {
	p = i.Function.problems()
	// An HTTP API responds 503 after 30 s.
	p.expect(i.Timeout < 30*time.Second, "timeout %v: want less than 30s, the HTTP API's integration timeout", i.Timeout)
	p.expect(oneOf(i.Compression, NoCompression, Zstd), "compression %q: want none or zstd", i.Compression)
	p.expect(i.RetentionDays >= 1, "retention of %d days: want at least 1", i.RetentionDays)
	p.within("max future", i.MaxFuture, time.Second, 24*time.Hour)
	p.expect(i.MaxInflatedBytes >= 1<<20, "max inflated bytes %d: want at least 1 MiB", i.MaxInflatedBytes)
	return p
}

func (s Store) problems(retention time.Duration) (p problems) {
	p = s.Function.problems()
	p = append(p, s.Consumer.problems(s.Timeout, retention)...)
	return p
}

func (r Retention) problems(accepted int) (p problems) {
	const most = 36_500
	for _, days := range []int{r.EventDays, r.MinuteDays, r.HourDays} {
		p.expect(days >= 0 && days <= most, "%d days: want 1 to %d, or 0 for no limit", days, most)
	}
	p.expect(r.AccessDays >= 1 && r.AccessDays <= most, "access record for %d days: want 1 to %d", r.AccessDays, most)
	shorter := func(days, than int) bool { return days != 0 && (than == 0 || days < than) }
	p.expect(r.EventDays == 0 || r.EventDays >= accepted,
		"events for %d days: want at least the %d for which ingest accepts them", r.EventDays, accepted)
	p.expect(!shorter(r.MinuteDays, r.EventDays), "minutes for %d days: want at least the %d of events", r.MinuteDays, r.EventDays)
	p.expect(!shorter(r.HourDays, r.MinuteDays), "hours for %d days: want at least the %d of minutes", r.HourDays, r.MinuteDays)
	return p
}

func (b Bridge) problems(retention time.Duration) (p problems) {
	p = b.Function.problems()
	p = append(p, b.Consumer.problems(b.Timeout, retention)...)
	p.expect(b.KeepsShardState, "KeepsShardState is false: want true")
	p.within("KPI window", b.KPIWindow, time.Second, time.Hour)
	p.within("lateness", b.Lateness, time.Second, time.Hour)
	p.expect(b.KPIWindow%time.Second == 0 && b.Lateness%time.Second == 0,
		"KPI window %v and lateness %v: want whole seconds", b.KPIWindow, b.Lateness)
	return p
}

func (d Detect) problems(retention time.Duration) (p problems) {
	p = d.Function.problems()
	p = append(p, d.Consumer.problems(d.Timeout, retention)...)
	p.expect(d.KeepsShardState, "KeepsShardState is false: want true")
	p.expect(d.MaxSeries >= 1 && d.MaxSeries <= 30000, "%d series: want 1 to 30000", d.MaxSeries)
	// The detectors, their serialised state, and the state of another shard.
	const perSeries, base = 16 << 10, 256 << 20 // bytes
	least := (base + d.MaxSeries*perSeries) >> 20
	p.expect(d.MemoryMB >= least, "memory %d MB for %d series: want at least %d MB", d.MemoryMB, d.MaxSeries, least)
	return p
}

// Validate returns every problem of c at once, joined, for a function with the given
// timeout that reads a stream with the given retention.
func (c Consumer) Validate(timeout, retention time.Duration) error {
	return errors.Join(c.problems(timeout, retention)...)
}

func (c Consumer) problems(timeout, retention time.Duration) (p problems) {
	p.expect(c.BatchSize >= 1 && c.BatchSize <= 10000, "batch size %d: want 1 to 10000", c.BatchSize)
	p.within("window", c.Window, 0, 5*time.Minute)
	p.expect(c.Window%time.Second == 0, "window %v: want whole seconds", c.Window)
	p.expect(c.Parallelization >= 1 && c.Parallelization <= 10, "parallelization %d: want 1 to 10", c.Parallelization)
	p.expect(!c.KeepsShardState || c.Parallelization == 1,
		"parallelization %d: want 1 for a function that keeps the state of its shard", c.Parallelization)
	// Without a limit on both, one poison record would block its shard until it expires.
	p.expect(c.Retries >= 1 && c.Retries <= 10000, "retries %d: want 1 to 10000", c.Retries)
	p.within("max record age", c.MaxRecordAge, time.Minute, 7*24*time.Hour)
	p.expect(c.MaxRecordAge < retention,
		"max record age %v: want less than the stream's retention %v, or records expire before they reach the failure destination",
		c.MaxRecordAge, retention)
	p.expect(c.Window+timeout < c.MaxRecordAge,
		"window %v and timeout %v: want less together than the max record age %v", c.Window, timeout, c.MaxRecordAge)
	return p
}

func (a API) problems() (p problems) {
	p.in("authorizer", a.Authorizer.problems())
	p.in("access", a.Access.problems())
	p.in("resources", a.Resources.problems())
	p.in("refusals", a.Refusals.problems())
	for _, address := range slices.Concat(a.ICE.STUN, a.ICE.TURN) {
		p.expect(matches(`^(stun|turn)s?:[^ ]+$`, address), "ICE server %q: want a URI such as turn:turn.example.com:3478", address)
	}
	p.expect((len(a.ICE.TURN) > 0) == (a.ICE.SecretARN != ""), "TURN servers and the ARN of their secret: want both or neither")
	p.expect(a.Access.Timeout <= 30*time.Second && a.Resources.Timeout <= 30*time.Second,
		"timeouts %v and %v: want at most 30s, the HTTP API's integration timeout", a.Access.Timeout, a.Resources.Timeout)
	p.expect(a.Authorizer.Timeout <= 10*time.Second,
		"authorizer timeout %v: want at most 10s, the HTTP API's authorizer timeout", a.Authorizer.Timeout)
	p.within("authorizer cache", a.AuthorizerCache, 0, time.Hour)
	return append(p, a.throttleProblems()...)
}

func (a Audit) problems() (p problems) {
	p = a.Function.problems()
	p.within("interval", a.Every, time.Minute, 24*time.Hour)
	p.expect(a.Every%time.Minute == 0, "interval %v: want whole minutes", a.Every)
	p.expect(a.Timeout <= a.Every, "timeout %v: want at most the interval %v", a.Timeout, a.Every)
	p.within("latency budget", a.LatencyBudget, time.Millisecond, time.Minute)
	p.expect(a.TrailMonths >= 0 && a.TrailMonths <= 1200, "months of the audit trail %d: want 0 to 1200", a.TrailMonths)
	return append(p, a.Lock.problems()...)
}

func (t Tokens) problems() (p problems) {
	p.expect(t.Issuer == "" || matches(`^https://[^/?#]+(/[^?#]*[^/?#])?$`, t.Issuer),
		"issuer %q: want an https URL without a trailing slash", t.Issuer)
	p.expect(t.Audience != "", "audience is empty")
	p.expect(len(t.Keys) >= 1 && len(t.Keys) <= 16, "%d keys: want 1 to 16", len(t.Keys))
	for i, k := range t.Keys {
		p.expect(matches(`^[A-Z][A-Za-z0-9]{0,30}$`, k.Name), "key %q: want at most 31 letters and digits, the first a capital", k.Name)
		repeated := slices.ContainsFunc(t.Keys[:i], func(o SigningKey) bool { return o.Name == k.Name })
		p.expect(!repeated, "key %q: the name is repeated", k.Name)
		p.expect(i > 0 || k.NotAfter.IsZero(), "key %q: want no NotAfter on the key that signs", k.Name)
	}
	for _, o := range t.Trusted {
		p.expect(o.Issuer != "" && o.Audience != "" && o.GrantsClaim != "",
			"trusted issuer %q: want issuer, audience and grants claim", o.Issuer)
		p.expect(matches(`^https://.`, o.JWKSURI), "trusted issuer %q: JWKS URI %q: want https", o.Issuer, o.JWKSURI)
		p.expect(len(o.Algorithms) > 0, "trusted issuer %q: no algorithms", o.Issuer)
		for _, a := range o.Algorithms {
			p.expect(matches(`^([RPE]S(256|384|512)|EdDSA)$`, a),
				"trusted issuer %q: algorithm %q: want an asymmetric one, such as RS256", o.Issuer, a)
		}
	}
	return p
}

func (d Database) problems() (p problems) {
	switch d.Kind {
	case ExistingDatabase:
		p.expect(matches(`^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:.+-[A-Za-z0-9]{6}$`, d.SecretARN),
			"secret ARN %q: want the complete ARN of a secret", d.SecretARN)
		if d.KeepInstance {
			return append(p, d.instanceProblems()...)
		}
		p.expect(d.InstanceType == "" && d.VolumeGiB == 0, "want no instance type and no volume with an existing database")
	case OwnInstance:
		p.expect(d.SecretARN == "", "secret ARN %q: want none, the secret of an own instance is generated", d.SecretARN)
		p.expect(!d.KeepInstance, "want no KeepInstance with an own instance")
		p = append(p, d.instanceProblems()...)
	default:
		p.expect(false, "kind %q: want own-instance or existing", d.Kind)
	}
	return p
}

func (d Database) instanceProblems() (p problems) {
	// Graviton: the machine image is for arm64.
	p.expect(matches(`^[a-z]\d+g[a-z]*\.\w+$`, d.InstanceType),
		"instance type %q: want an arm64 one, such as t4g.medium", d.InstanceType)
	p.expect(d.VolumeGiB >= 20 && d.VolumeGiB <= 16384, "volume of %d GiB: want 20 to 16384", d.VolumeGiB)
	p.expect(d.VolumeIOPS >= 3000 && d.VolumeIOPS <= 16000, "volume with %d IOPS: want 3000 to 16000", d.VolumeIOPS)
	p.expect(d.VolumeMBps >= 125 && d.VolumeMBps <= 1000, "volume with %d MB/s: want 125 to 1000", d.VolumeMBps)
	p.expect(d.Image != "", "image label is empty: want a date")
	p.expect(d.BackupDays >= 0, "backups for %d days: want 0 or more", d.BackupDays)
	return p
}

func (n Network) problems(needed bool) (p problems) {
	if !needed {
		p.expect(n == Network{}, "want no network with an existing database")
		return p
	}
	prefix, err := netip.ParsePrefix(n.CIDR)
	p.expect(err == nil && prefix.Addr().Is4() && prefix.Bits() >= 16 && prefix.Bits() <= 24,
		"CIDR %q: want an IPv4 range of /16 to /24", n.CIDR)
	p.expect(n.Egress != NATInstance || n.NATImage != "", "NAT image label is empty: want a date")
	p.expect(oneOf(n.Egress, NATInstance, NATGateway), "egress %q: want nat-instance or nat-gateway", n.Egress)
	return p
}

func (m Monitoring) problems() (p problems) {
	p.expect(m.RetentionDays >= 1 && m.RetentionDays <= 1095, "retention of %d days: want 1 to 1095", m.RetentionDays)
	return p
}

func (l Log) problems() (p problems) {
	p.expect(oneOf(l.Level, Debug, Info, Warn, Error), "level %q: want debug, info, warn or error", l.Level)
	p.expect(slices.Contains(LogRetentionDays(), l.RetentionDays),
		"retention of %d days: want one of %v", l.RetentionDays, LogRetentionDays())
	return p
}

// problems collects errors, so that all of them are reported at once.
type problems []error

func (p *problems) expect(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (p *problems) within(what string, d, least, most time.Duration) {
	p.expect(d >= least && d <= most, "%s %v: want %v to %v", what, d, least, most)
}

func (p *problems) in(part string, inner problems) {
	for _, err := range inner {
		*p = append(*p, fmt.Errorf("%s: %w", part, err))
	}
}

func oneOf[T comparable](v T, allowed ...T) bool { return slices.Contains(allowed, v) }

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }
