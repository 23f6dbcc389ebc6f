package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/config"
)

type stage = config.Stage

func TestStagesAreValid(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range config.Stages() {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		if seen[s.Network.CIDR] {
			t.Errorf("stage %s: CIDR %s is another stage's too: the networks could never be peered", s.Name, s.Network.CIDR)
		}
		seen[s.Network.CIDR] = true
	}
}

func TestSelect(t *testing.T) {
	for name, want := range map[string]int{"": 3, "dev": 1, "prod": 1} {
		got, err := config.Select(name)
		if err != nil || len(got) != want || (name != "" && string(got[0].Name) != name) {
			t.Errorf("Select(%q): got %d stages and error %v, want %d", name, len(got), err, want)
		}
	}
	if _, err := config.Select("production"); err == nil {
		t.Error(`Select("production"): got no error, want one`)
	}
}

func TestValidate(t *testing.T) {
	own := config.Stages()[0]
	for name, c := range map[string]struct {
		change func(*stage)
		want   string
	}{
		"name":                    {func(s *stage) { s.Name = "test" }, `name "test"`},
		"account alone":           {func(s *stage) { s.Account = "123456789012" }, "want both or neither"},
		"account":                 {func(s *stage) { s.Account, s.Region = "1", "eu-west-1" }, "want 12 digits"},
		"no zones":                {func(s *stage) { s.Account, s.Region = "123456789012", "eu-west-1" }, "want them if and only if"},
		"zones alone":             {func(s *stage) { s.AvailabilityZones = []string{"eu-west-1a"} }, "want them if and only if"},
		"removal in prod":         {func(s *stage) { s.Name = config.Prod }, "want keep in prod"},
		"migrations":              {func(s *stage) { s.Migrate.Timeout = 15 * time.Minute }, "migrate: timeout 15m0s: want at most 14m0s"},
		"no image":                {func(s *stage) { s.Database.Image = "" }, "database: image label is empty"},
		"no NAT image":            {func(s *stage) { s.Network.NATImage = "" }, "network: NAT image label is empty"},
		"encryption":              {func(s *stage) { s.Encryption = "none" }, `encryption "none"`},
		"key of the volume alone": {func(s *stage) { s.Database.CustomerKey = true }, "want encryption customer-key"},
		"alarm topic": {func(s *stage) {
			s.AlarmTopicARN = "arn:aws:sqs:eu-central-1:123456789012:q"
		}, "want the ARN of an SNS topic"},
		"no zones' letters": {func(s *stage) { s.Zones = nil }, "want the letters of two availability zones"},
		"one zone twice":    {func(s *stage) { s.Zones = []string{"a", "a"} }, "want the letters of two availability zones"},
		"other zones": {func(s *stage) {
			s.Account, s.Region, s.AvailabilityZones = "123456789012", "eu-west-1", []string{"eu-west-1b", "eu-west-1c"}
		}, `want ["eu-west-1a" "eu-west-1b"], those of zones`},
		"e-mail": {func(s *stage) { s.AlarmEmail = "operations" }, "with @"},
		"connections": {
			func(s *stage) { s.API.Resources.ReservedConcurrency = 200 },
			"database: 476 connections of all functions",
		},
		"connections of each":  {func(s *stage) { s.API.Resources.Connections = 5 }, "want at most 385"},
		"no connections":       {func(s *stage) { s.API.Access.Connections = 0 }, "concurrency: access: 0 database connections"},
		"needless connections": {func(s *stage) { s.Ingest.Connections = 1 }, "concurrency: ingest: 1 database connections"},
		"many connections":     {func(s *stage) { s.Store.Connections = 9 }, "store: 9 database connections"},
		"nothing reserved": {
			func(s *stage) { s.API.Access.ReservedConcurrency = 0 },
			"access: reserved concurrency 0: want at least 1",
		},
		"account's concurrency": {
			func(s *stage) { s.AccountConcurrency = 200 },
			"and 100 that AWS lets nobody reserve: want at most the account's 200",
		},
		"negative concurrency": {func(s *stage) { s.AccountConcurrency = -1 }, "account concurrency -1"},
		"nothing in prod":      {func(s *stage) { s.Name, s.AccountConcurrency = config.Prod, 0 }, "want this in dev only"},
		"store's lanes":        {func(s *stage) { s.Store.Parallelization = 3 }, "store: 4 reserved: want at least 6 (2 shards × 3)"},
		"bridge's shards":      {func(s *stage) { s.Stream.Shards = 5 }, "bridge: 4 reserved: want at least 5 (5 shards × 1)"},
		"detect's shards":      {func(s *stage) { s.Detect.ReservedConcurrency = 1 }, "detect: 1 reserved: want at least 2"},
		"authorizer's requests": {
			func(s *stage) { s.API.Authorizer.ReservedConcurrency = 40 },
			"authorizer: 40 reserved: want at least 41",
		},
		"ingest's requests": {func(s *stage) { s.Ingest.ReservedConcurrency = 39 }, "ingest: 39 reserved: want at least 40"},
		"access's requests": {func(s *stage) { s.API.Access.ReservedConcurrency = 3 }, "access: 3 reserved: want at least 4"},
		"burst of logins":   {func(s *stage) { s.API.Throttles.Login.Burst = 21 }, "access: 20 reserved: want at least the 21"},
		"no throttle":       {func(s *stage) { s.API.Throttles.Login = config.Throttle{} }, "throttle of login: 0 requests per second"},
		"throttles together": {
			func(s *stage) { s.API.RequestsPerSecond = 4000 },
			"throttles of all routes: 4150 requests per second in bursts of 4460",
		},
		"bursts together": {
			func(s *stage) { s.API.Throttles.Telemetry.Burst = 5000 },
			"in bursts of 7460: want at most the API's 5000 and 5000",
		},
		"open throttles": {
			func(s *stage) { s.API.Throttles.Keys.RequestsPerSecond = 300 },
			"throttles of open routes: 705 requests per second: want at most a tenth",
		},
		"shards of on-demand": {
			func(s *stage) { s.Stream.Mode, s.Stream.Shards = config.OnDemand, 0 },
			"at most 0 shards: want this in on-demand mode",
		},
		"shards of provisioned": {
			func(s *stage) { s.Stream.MaxShards = 4 },
			"at most 4 shards: want this in on-demand mode, and only there",
		},
		"no shards":         {func(s *stage) { s.Stream.Shards = 0 }, "stream: 0 shards"},
		"shards on demand":  {func(s *stage) { s.Stream.Mode = config.OnDemand }, "want none in on-demand mode"},
		"stream retention":  {func(s *stage) { s.Stream.Retention = 90 * time.Minute }, "stream: retention 1h30m0s"},
		"memory":            {func(s *stage) { s.Ingest.MemoryMB = 64 }, "ingest: memory 64 MB"},
		"ingest timeout":    {func(s *stage) { s.Ingest.Timeout = time.Minute }, "want less than 30s"},
		"compression":       {func(s *stage) { s.Ingest.Compression = "gzip" }, `compression "gzip"`},
		"retries left out":  {func(s *stage) { s.Store.Retries = 0 }, "store: retries 0"},
		"age left out":      {func(s *stage) { s.Store.MaxRecordAge = 0 }, "store: max record age 0s"},
		"age and retention": {func(s *stage) { s.Store.MaxRecordAge = 24 * time.Hour }, "less than the stream's retention 24h0m0s"},
		"window and age": {func(s *stage) {
			s.Store.Window, s.Store.MaxRecordAge = time.Minute, time.Minute
		}, "want less together than"},
		"window": {func(s *stage) { s.Store.Window = 300 * time.Millisecond }, "want whole seconds"},
		"shard state": {func(s *stage) {
			s.Store.KeepsShardState, s.Store.Parallelization = true, 2
		}, "want 1 for a function that keeps"},
		"bridge alone":     {func(s *stage) { s.Bridge.Parallelization = 2 }, "bridge: parallelization 2"},
		"bridge's state":   {func(s *stage) { s.Bridge.KeepsShardState = false }, "bridge: KeepsShardState is false"},
		"detect alone":     {func(s *stage) { s.Detect.Parallelization = 2 }, "detect: parallelization 2"},
		"detect's state":   {func(s *stage) { s.Detect.KeepsShardState = false }, "detect: KeepsShardState is false"},
		"detect's series":  {func(s *stage) { s.Detect.MaxSeries = 50000 }, "detect: 50000 series"},
		"detect's memory":  {func(s *stage) { s.Detect.MemoryMB = 512 }, "detect: memory 512 MB for 20000 series"},
		"KPI window":       {func(s *stage) { s.Bridge.KPIWindow = 0 }, "bridge: KPI window 0s"},
		"part of a second": {func(s *stage) { s.Bridge.Lateness = 1500 * time.Millisecond }, "lateness 1.5s: want whole seconds"},
		"events dropped": {func(s *stage) {
			s.Retention.EventDays = 90
		}, "retention: events for 90 days: want at least the 3653"},
		"minutes dropped": {func(s *stage) {
			s.Retention.MinuteDays = 730
		}, "retention: minutes for 730 days: want at least the 3653 of events"},
		"hours dropped": {func(s *stage) {
			s.Retention.MinuteDays, s.Retention.HourDays = 0, 3653
		}, "retention: hours for 3653 days: want at least the 0 of minutes"},
		"no access record":  {func(s *stage) { s.Retention.AccessDays = 0 }, "retention: access record for 0 days"},
		"no such retention": {func(s *stage) { s.Retention.HourDays = 40000 }, "retention: 40000 days"},
		"authorizer":        {func(s *stage) { s.API.Authorizer.Timeout = 20 * time.Second }, "want at most 10s"},
		"authorizer cache":  {func(s *stage) { s.API.AuthorizerCache = 2 * time.Hour }, "authorizer cache 2h0m0s"},
		"issuer":            {func(s *stage) { s.Tokens.Issuer = "http://a.example" }, `tokens: issuer "http://a.example"`},
		"audience":          {func(s *stage) { s.Tokens.Audience = "" }, "tokens: audience is empty"},
		"no signing key":    {func(s *stage) { s.Tokens.Keys = nil }, "tokens: 0 keys"},
		"key's name":        {func(s *stage) { s.Tokens.Keys = []config.SigningKey{{Name: "2nd"}} }, `tokens: key "2nd"`},
		"key twice": {func(s *stage) {
			s.Tokens.Keys = []config.SigningKey{{Name: "A"}, {Name: "A"}}
		}, "the name is repeated"},
		"key that ends": {func(s *stage) {
			s.Tokens.Keys = []config.SigningKey{{Name: "A", NotAfter: time.Unix(1, 0)}}
		}, "want no NotAfter"},
		"issuer's keys": {func(s *stage) {
			s.Tokens.Trusted = []config.TrustedIssuer{{JWKSURI: "http://a.example"}}
		}, "want https"},
		"shared secrets": {func(s *stage) {
			s.Tokens.Trusted = []config.TrustedIssuer{{
				Issuer: "i", Audience: "a", GrantsClaim: "g", JWKSURI: "https://a.example", Algorithms: []string{"HS256"},
			}}
		}, `algorithm "HS256"`},
		"burst":            {func(s *stage) { s.API.Burst = 0 }, "bursts of 0"},
		"database kind":    {func(s *stage) { s.Database.Kind = "rds" }, `kind "rds"`},
		"instance for x86": {func(s *stage) { s.Database.InstanceType = "m7i.large" }, "want an arm64 one"},
		"existing, no ARN": {func(s *stage) {
			s.Database = config.Database{Kind: config.ExistingDatabase}
		}, "want the complete ARN"},
		"CIDR":          {func(s *stage) { s.Network.CIDR = "10.0.0.0/30" }, `CIDR "10.0.0.0/30"`},
		"samples":       {func(s *stage) { s.Monitoring.RetentionDays = 2000 }, "monitoring: retention of 2000 days"},
		"log level":     {func(s *stage) { s.Log.Level = "trace" }, `level "trace"`},
		"log retention": {func(s *stage) { s.Log.RetentionDays = 8 }, "log: retention of 8 days"},
	} {
		t.Run(name, func(t *testing.T) {
			s := own
			c.change(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	err := config.Stage{}.Validate()
	if err == nil {
		t.Fatal("an empty stage is valid")
	}
	for _, part := range []string{
		"name", "removal", "stream: ", "ingest: ", "store: ", "bridge: ", "detect: ", "migrate: ", "api: ", "tokens: ", "database: ",
		"network: ", "monitoring: ", "log: ",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q, want a problem with %q", err, part)
		}
	}
}

// TestNewAccount: a new account has a limit of ten concurrent executions, of which nothing can
// be reserved.
func TestNewAccount(t *testing.T) {
	dev := config.Stages()[0]
	dev.AccountConcurrency = 0
	if err := dev.Validate(); err != nil {
		t.Error(err)
	}
}

// TestDatabaseConnections adds up the limits of all functions as PostgreSQL does: beside them,
// superusers and operators have connections of their own.
func TestDatabaseConnections(t *testing.T) {
	for _, s := range config.Stages() {
		sum := 0
		for name, n := range s.DatabaseConnections() {
			f := s.Functions()[name]
			if want := 2 * f.ReservedConcurrency * f.Connections; n != want || n < 2 {
				t.Errorf("%s: %s has %d connections, want %d: environments before and after a deployment", s.Name, name, n, want)
			}
			sum += n
		}
		if most := config.MaxDatabaseConnections - 15; sum > most {
			t.Errorf("%s: %d connections, want at most %d", s.Name, sum, most)
		}
	}
}

// TestStreamGrowsWithItsConsumers: every stage can double its provisioned shards, and an
// on-demand stream its first four twice, before a consumer lacks concurrency.
func TestStreamGrowsWithItsConsumers(t *testing.T) {
	for _, s := range config.Stages() {
		s.Stream.Shards *= 2
		if s.Stream.Mode == config.OnDemand && s.Stream.MaxShards < 16 {
			t.Errorf("%s: at most %d shards, want 16", s.Name, s.Stream.MaxShards)
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestThrottlesAreDocumented: docs/API_CONTRACTS.md has the limits of the stages.
func TestThrottlesAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/API_CONTRACTS.md")
	if err != nil {
		t.Fatal(err)
	}
	stages := config.Stages()
	dev, staging, prod := stages[0].API.Throttles, stages[1].API.Throttles, stages[2].API.Throttles
	if staging != prod {
		t.Errorf("staging has %v, prod %v, which the document says are the same", staging, prod)
	}
	for routes, limits := range map[string][2]config.Throttle{
		"`POST /v1/telemetry`": {dev.Telemetry, prod.Telemetry}, "`POST /v1/sites/{site}/exports`": {dev.Exports, prod.Exports},
		"all others below `/v1` that require a token": {dev.Resources, prod.Resources}, "`POST /v1/login`": {dev.Login, prod.Login},
		"`POST /v1/refresh`": {dev.Refresh, prod.Refresh}, "`POST /v1/logout`": {dev.Logout, prod.Logout},
		"`POST /v1/token`": {dev.Token, prod.Token}, "each document below `/.well-known`": {dev.Keys, prod.Keys},
		"`/openapi.yaml`, `/docs`": {dev.Contract, prod.Contract},
	} {
		want := fmt.Sprintf("| %s | %d, %d | %d, %d |", routes, limits[0].RequestsPerSecond, limits[0].Burst,
			limits[1].RequestsPerSecond, limits[1].Burst)
		if !strings.Contains(string(raw), want+"\n") {
			t.Errorf("docs/API_CONTRACTS.md lacks the line %s", want)
		}
	}
}
