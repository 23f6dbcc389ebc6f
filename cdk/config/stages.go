package config

import (
	"fmt"
	"time"
)

const day = 24 * time.Hour

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
	return nil, fmt.Errorf("no stage %q: want dev, staging or prod", name)
}

// dev is what a developer deploys to an account of their own and what runs on
// one machine: about 70 dollars a month, a third of it for the two shards, which take 2 MB/s:
// half a million events a second of short decimals, a quarter of random doubles.
func dev() Stage {
	return Stage{
		Name:    Dev,
		Removal: Destroy,
		Stream:  Stream{Mode: Provisioned, Shards: 2, Retention: day},
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
			// events: 50 of them are a large COPY, and 1.7 MB of the 6 MB that an
			// invocation can carry.
			Consumer:    Consumer{BatchSize: 50, Parallelization: 1, Retries: 1000, MaxRecordAge: 12 * time.Hour},
			Connections: 1,
		},
		Bridge: Bridge{
			Function: Function{MemoryMB: 1024, Timeout: time.Minute},
			// Each invocation loads and saves the shard's state and writes to
			// Prometheus, which is worth a second's records: at most 1,000 on a shard.
			// Records of 25 KB fill an invocation's 6 MB sooner, 180 of them.
			Consumer:  Consumer{BatchSize: 1000, Window: time.Second, Parallelization: 1, Retries: 1000, MaxRecordAge: 12 * time.Hour, KeepsShardState: true},
			KPIWindow: 5 * time.Second,
			Lateness:  2 * time.Second,
		},
		Detect: Detect{
			Function: Function{MemoryMB: 1024, Timeout: time.Minute},
			// Each invocation saves the detectors of all series of the shard, which is worth
			// three seconds' records; an anomaly is known that much later. See docs/adr/0013.
			Consumer:  Consumer{BatchSize: 2000, Window: 3 * time.Second, Parallelization: 1, Retries: 1000, MaxRecordAge: 12 * time.Hour, KeepsShardState: true},
			MaxSeries: 20000,
		},
		Migrate: Function{MemoryMB: 256, Timeout: 5 * time.Minute},
		Rollup:  Function{MemoryMB: 256, Timeout: 50 * time.Second},
		// As long as ingest accepts events; hours, a 3,600th of them, for ever.
		Retention: Retention{EventDays: 3653, MinuteDays: 3653},
		API: API{
			Authorizer:        Function{MemoryMB: 256, Timeout: 5 * time.Second},
			Access:            Function{MemoryMB: 512, Timeout: 10 * time.Second},
			Resources:         Function{MemoryMB: 512, Timeout: 29 * time.Second},
			Refusals:          Function{MemoryMB: 256, Timeout: 30 * time.Second},
			AuthorizerCache:   5 * time.Minute,
			RequestsPerSecond: 1000,
			Burst:             2000,
		},
		Audit: Audit{
			Function: Function{MemoryMB: 256, Timeout: 5 * time.Minute},
			Every:    time.Hour, LatencyBudget: 500 * time.Millisecond,
			// A stage that comes and goes must not leave a bucket behind for long.
			Lock: Lock{Mode: Governance, Days: 1},
		},
		Tokens: Tokens{Audience: "insighthub", Keys: []SigningKey{{Name: "First"}}},
		Database: Database{
			Kind: OwnInstance, InstanceType: "t4g.medium",
			VolumeGiB: 50, VolumeIOPS: 3000, VolumeMBps: 125,
		},
		Network:    Network{CIDR: "10.40.0.0/20", Egress: NATInstance},
		Monitoring: Monitoring{RetentionDays: 30},
		Log:        Log{Level: Info, RetentionDays: 7},
	}
}

// staging is prod's shape at a fraction of its size.
func staging() Stage {
	s := prod()
	s.Name = Staging
	s.Stream = Stream{Mode: Provisioned, Shards: 2, Retention: 2 * day}
	s.Store.MaxRecordAge = day
	s.Bridge.MaxRecordAge = day
	s.Detect.MaxRecordAge = day
	s.Database = Database{
		Kind: OwnInstance, InstanceType: "t4g.large",
		VolumeGiB: 100, VolumeIOPS: 3000, VolumeMBps: 125, BackupDays: 3,
	}
	s.Network = Network{CIDR: "10.41.0.0/20", Egress: NATInstance}
	s.Monitoring.RetentionDays = 90
	s.Audit.Lock = Lock{Mode: Governance, Days: 30}
	s.Log.RetentionDays = 30
	return s
}

// prod keeps everything and grows by itself.
func prod() Stage {
	s := dev()
	s.Name = Prod
	s.Removal = Keep
	s.Stream = Stream{Mode: OnDemand, Retention: 7 * day}
	s.Ingest.MemoryMB = 1769
	s.Ingest.Compression = Zstd
	s.Store.MemoryMB = 1769
	s.Store.Parallelization = 2
	// A database that is down for days is repaired before records are given up.
	s.Store.Retries = 10000
	s.Store.MaxRecordAge = 6 * day
	s.Bridge.MemoryMB = 1769
	s.Bridge.Retries = 10000
	s.Bridge.MaxRecordAge = 6 * day
	s.Detect.MemoryMB = 1769
	s.Detect.Retries = 10000
	s.Detect.MaxRecordAge = 6 * day
	s.API.RequestsPerSecond = 5000
	s.API.Burst = 10000
	s.Database = Database{
		Kind: OwnInstance, InstanceType: "r7g.xlarge",
		VolumeGiB: 1000, VolumeIOPS: 6000, VolumeMBps: 500, BackupDays: 35,
	}
	s.Network = Network{CIDR: "10.42.0.0/20", Egress: NATGateway}
	s.Monitoring.RetentionDays = 1095
	s.Audit.Lock = Lock{Mode: Compliance, Days: 365}
	s.Log.RetentionDays = 90
	return s
}
