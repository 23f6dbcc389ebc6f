package config

import (
	"fmt"
	"time"
)

const day = 24 * time.Hour

// firstImage labels the machine images of all stages: docs/DEPLOYMENT.md.
const firstImage = "2026-11-30"

// Stages returns every stage, in the order in which a change reaches them.
func Stages() []Stage { return []Stage{dev(), staging(), prod()} }

// Select returns the stage called name, or every stage when name is empty.
func Select(name string) ([]Stage, error) {
	if name == "" {
		return Stages(), nil
	}
	for _, s := range Stages() {
		if s.Name == StageName(name) {
			return []Stage{s}, nil
		}
	}
	return nil, fmt.Errorf("unknown stage %q: want dev, staging or prod", name)
}

// consumers returns the settings of the functions that read the stream.
func (s *Stage) consumers() []*Consumer {
	return []*Consumer{&s.Store.Consumer, &s.Bridge.Consumer, &s.Detect.Consumer}
}

// dev is the stage that a developer deploys to their own account, and the one that
// runs on a single machine. It costs about 85 dollars a month, a fourth of it for the
// two shards and a fifth for their ticks while they are idle (docs/adr/0023). They accept
// 2 MB/s: about 500,000 events a second when the values are short decimals, 250,000 when
// they are random doubles.
func dev() Stage {
	s := Stage{
		Name:    Dev,
		Zones:   []string{"a", "b"},
		Removal: Destroy,
		// prod too: a stage that is deployed changes when its owner chooses to.
		Encryption: AWSManaged,
		// The limit of an account in use; Deploy in README.md says what to do in a new one.
		AccountConcurrency: 1000,
		Stream:             Stream{Mode: Provisioned, Shards: 2, Retention: day},
		Ingest: Ingest{
			Function:         Function{MemoryMB: 1024, Timeout: 20 * time.Second},
			Compression:      NoCompression,
			RetentionDays:    3653,
			MaxFuture:        5 * time.Minute,
			MaxInflatedBytes: 16 << 20,
		},
		Store: Store{
			Function: Function{MemoryMB: 1024, Timeout: time.Minute},
			// A record is one gateway's batch, at most 25 KB and typically 1,000
			// events: 50 of them are a large COPY, and 1.7 MB of the 6 MB that the
			// payload of an invocation may have.
			Consumer: Consumer{BatchSize: 50},
		},
		Bridge: Bridge{
			Function: Function{MemoryMB: 1024, Timeout: time.Minute},
			// Each invocation loads and saves the shard's state and writes to Prometheus. To
			// pay for that it waits for the records of one second, at most 1,000 on a shard.
			// Records of 25 KB reach the payload's 6 MB sooner, at 180 of them.
			Consumer:  Consumer{BatchSize: 1000, Window: time.Second, KeepsShardState: true},
			KPIWindow: 5 * time.Second,
			Lateness:  2 * time.Second,
		},
		Detect: Detect{
			Function: Function{MemoryMB: 1024, Timeout: time.Minute},
			// Each invocation saves the detectors of all series of the shard. To pay for that
			// it waits for the records of three seconds, and anomalies are detected that much
			// later. See docs/adr/0013.
			Consumer:  Consumer{BatchSize: 2000, Window: 3 * time.Second, KeepsShardState: true},
			MaxSeries: 20000,
		},
		// It waits most of the time, so it has the least memory.
		Clock:   Function{MemoryMB: 128, Timeout: time.Minute},
		Migrate: Function{MemoryMB: 256, Timeout: 14 * time.Minute},
		Rollup:  Function{MemoryMB: 256, Timeout: 50 * time.Second},
		// Events for as long as ingest accepts them; hours, a 3,600th of the rows at 1 Hz,
		// without limit.
		Retention: Retention{EventDays: 3653, MinuteDays: 3653, AccessDays: 30},
		API: API{
			Authorizer:        Function{MemoryMB: 256, Timeout: 5 * time.Second},
			Access:            Function{MemoryMB: 512, Timeout: 10 * time.Second},
			Resources:         Function{MemoryMB: 512, Timeout: 29 * time.Second},
			Refusals:          Function{MemoryMB: 256, Timeout: 30 * time.Second},
			AuthorizerCache:   5 * time.Minute,
			RequestsPerSecond: 5000,
			Burst:             5000,
			Throttles: Throttles{
				// A request with a token that is not valid counts too, before it is rejected: there
				// is room for a flood of a thousand of them a second beside what is sent.
				Telemetry: Throttle{2000, 2000}, Resources: Throttle{2000, 2000},
				// A file of up to a million rows each.
				Exports: Throttle{5, 20},
				// Each takes some tens of milliseconds of a processor.
				Login: Throttle{5, 10},
				// A person needs one refresh in a quarter of an hour, and so does a gateway a token.
				Refresh: Throttle{20, 20}, Logout: Throttle{10, 20}, Token: Throttle{50, 50},
				// Clients cache both. The self-check reads the keys 50 times in a row, twice.
				Keys: Throttle{20, 150}, Contract: Throttle{10, 20},
			},
		},
		Audit: Audit{
			Function: Function{MemoryMB: 256, Timeout: 5 * time.Minute},
			Every:    time.Hour, LatencyBudget: 500 * time.Millisecond,
			// A bucket with locked objects cannot be deleted, and a dev stage is often deleted.
			Lock:        Lock{Mode: Governance, Days: 1},
			TrailMonths: 3,
		},
		Tokens: Tokens{Audience: "insighthub", Keys: []SigningKey{{Name: "First"}}},
		Database: Database{
			Kind: OwnInstance, InstanceType: "t4g.medium", Image: firstImage,
			VolumeGiB: 50, VolumeIOPS: 3000, VolumeMBps: 125,
		},
		Network:    Network{CIDR: "10.40.0.0/20", Egress: NATInstance, NATImage: firstImage},
		Live:       defaultLive("10.44.0.0/20"),
		Monitoring: Monitoring{RetentionDays: 30},
		Log:        Log{Level: Info, RetentionDays: 7},
	}
	for _, c := range s.consumers() {
		c.Parallelization, c.Retries, c.MaxRecordAge = 1, 1000, 12*time.Hour
	}
	s.reserve(map[string]int{
		"ingest": 50, "authorizer": 50, "access": 20, "api": 40,
		// Twice the two shards, so that they can be split.
		"store": 4, "bridge": 4, "detect": 4,
		// A scheduled run can begin before the one before it has ended.
		"clock": 2, "rollup": 2, "audit": 2, "migrate": 2, "refusals": 2,
	})
	for name, f := range s.functions() {
		if usesDatabase(name) {
			f.Connections = 1 // an environment handles one invocation at a time
		}
	}
	return s
}

// staging has prod's shape in a smaller size.
func staging() Stage {
	s := prod()
	s.Name = Staging
	s.Stream = Stream{Mode: Provisioned, Shards: 2, Retention: 2 * day}
	for _, c := range s.consumers() {
		c.MaxRecordAge = day
	}
	s.Audit.Lock = Lock{Mode: Governance, Days: 30}
	s.Audit.TrailMonths = 6
	s.Retention.AccessDays = 90
	s.Monitoring.RetentionDays = 90
	s.Log.RetentionDays = 30
	s.Database.InstanceType = "t4g.large"
	s.Database.VolumeGiB, s.Database.VolumeIOPS, s.Database.VolumeMBps = 100, 3000, 125
	s.Database.BackupDays = 3
	s.Network = Network{CIDR: "10.41.0.0/20", Egress: NATInstance, NATImage: firstImage}
	s.Live.CIDR = "10.45.0.0/20"
	return s
}

// prod retains everything and scales by itself.
func prod() Stage {
	const wholeCPU = 1769 // MB of memory that come with one whole vCPU
	s := dev()
	s.Name = Prod
	s.Removal = Keep
	s.Stream = Stream{Mode: OnDemand, MaxShards: 16, Retention: 7 * day}
	for _, c := range s.consumers() {
		// Time to repair a database that is down for days before records expire.
		c.Retries, c.MaxRecordAge = 10000, 6*day
	}
	s.Store.Parallelization = 2
	for _, f := range []*Function{&s.Ingest.Function, &s.Store.Function, &s.Bridge.Function, &s.Detect.Function} {
		f.MemoryMB = wholeCPU
	}
	s.Ingest.Compression = Zstd
	s.API.RequestsPerSecond, s.API.Burst = 10000, 5000
	s.API.Throttles = Throttles{
		Telemetry: Throttle{6000, 2500}, Resources: Throttle{2000, 1000}, Exports: Throttle{5, 20},
		// 100 tokens a second are those of 90,000 gateways; after an outage all of them want one
		// at once.
		Login: Throttle{20, 40}, Refresh: Throttle{50, 200}, Logout: Throttle{20, 50}, Token: Throttle{100, 500},
		Keys: Throttle{50, 150}, Contract: Throttle{10, 20},
	}
	s.reserve(map[string]int{
		"ingest": 200, "authorizer": 100, "access": 40, "api": 70,
		"store": 2 * s.Stream.MaxShards, "bridge": s.Stream.MaxShards, "detect": s.Stream.MaxShards, "refusals": 4,
	})
	s.Database = Database{
		Kind: OwnInstance, InstanceType: "r7g.xlarge", Image: firstImage,
		VolumeGiB: 1000, VolumeIOPS: 6000, VolumeMBps: 500, BackupDays: 35,
	}
	s.Network = Network{CIDR: "10.42.0.0/20", Egress: NATGateway}
	s.Live = defaultLive("10.46.0.0/20")
	// Two tasks, so that one can end; half of what each could hold, so that the other has room.
	s.Live.Signaling = Signaling{Task: Task{CPU: 512, MemoryMB: 1024}, MinTasks: 2, MaxTasks: 10, Connections: 10000}
	s.Live.Valkey = Valkey{NodeType: "cache.t4g.small", Nodes: 2}
	s.Live.Turn.Task, s.Live.Turn.Tasks = Task{CPU: 1024, MemoryMB: 2048}, 2
	s.Live.Turn.TotalQuota = 4000
	s.Audit.Lock = Lock{Mode: Compliance, Days: 365}
	s.Audit.TrailMonths = 13
	s.Retention.AccessDays = 400 // a year's audit, and a month to hold it
	s.Monitoring.RetentionDays = 1095
	s.Log.RetentionDays = 90
	return s
}
