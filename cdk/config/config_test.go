package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/cdk/config"
)

func TestStagesAreValid(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range config.Stages() {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		if seen[s.Network.CIDR] {
			t.Errorf("stage %s has another's range %s: they could never be joined", s.Name, s.Network.CIDR)
		}
		seen[s.Network.CIDR] = true
	}
}

func TestSelect(t *testing.T) {
	for name, want := range map[string]int{"": 3, "dev": 1, "prod": 1} {
		got, err := config.Select(name)
		if err != nil || len(got) != want || (name != "" && string(got[0].Name) != name) {
			t.Errorf("Select(%q) = %d stages, %v; want %d", name, len(got), err, want)
		}
	}
	if _, err := config.Select("production"); err == nil {
		t.Error(`Select("production") found a stage`)
	}
}

func TestValidate(t *testing.T) {
	own := config.Stages()[0]
	for name, c := range map[string]struct {
		change func(*config.Stage)
		want   string
	}{
		"name":              {func(s *config.Stage) { s.Name = "test" }, `name "test"`},
		"account alone":     {func(s *config.Stage) { s.Account = "123456789012" }, "want both or neither"},
		"account":           {func(s *config.Stage) { s.Account, s.Region = "1", "eu-west-1" }, "want 12 digits"},
		"no zones":          {func(s *config.Stage) { s.Account, s.Region = "123456789012", "eu-west-1" }, "name them if and only if"},
		"zones alone":       {func(s *config.Stage) { s.AvailabilityZones = []string{"eu-west-1a"} }, "name them if and only if"},
		"removal in prod":   {func(s *config.Stage) { s.Name = config.Prod }, "prod keeps its data"},
		"e-mail":            {func(s *config.Stage) { s.AlarmEmail = "operations" }, "no @"},
		"connections":       {func(s *config.Stage) { s.Stream.Shards = 500 }, "the database takes 400"},
		"no shards":         {func(s *config.Stage) { s.Stream.Shards = 0 }, "stream: 0 shards"},
		"shards on demand":  {func(s *config.Stage) { s.Stream.Mode = config.OnDemand }, "on-demand takes none"},
		"stream retention":  {func(s *config.Stage) { s.Stream.Retention = 90 * time.Minute }, "stream: retention 1h30m0s"},
		"memory":            {func(s *config.Stage) { s.Ingest.MemoryMB = 64 }, "ingest: memory 64 MB"},
		"ingest timeout":    {func(s *config.Stage) { s.Ingest.Timeout = time.Minute }, "the HTTP API gives up after 30s"},
		"compression":       {func(s *config.Stage) { s.Ingest.Compression = "gzip" }, `compression "gzip"`},
		"retries left out":  {func(s *config.Stage) { s.Store.Retries = 0 }, "store: retries 0"},
		"age left out":      {func(s *config.Stage) { s.Store.MaxRecordAge = 0 }, "store: max record age 0s"},
		"age and retention": {func(s *config.Stage) { s.Store.MaxRecordAge = 24 * time.Hour }, "a record leaves the stream after 24h0m0s"},
		"window and age":    {func(s *config.Stage) { s.Store.Window, s.Store.MaxRecordAge = time.Minute, time.Minute }, "one attempt outlives"},
		"window":            {func(s *config.Stage) { s.Store.Window = 300 * time.Millisecond }, "want whole seconds"},
		"shard state":       {func(s *config.Stage) { s.Store.KeepsShardState, s.Store.Parallelization = true, 2 }, "must be alone on it"},
		"bridge alone":      {func(s *config.Stage) { s.Bridge.Parallelization = 2 }, "bridge: parallelization 2"},
		"bridge's state":    {func(s *config.Stage) { s.Bridge.KeepsShardState = false }, "bridge: it keeps its shard's state"},
		"detect alone":      {func(s *config.Stage) { s.Detect.Parallelization = 2 }, "detect: parallelization 2"},
		"detect's state":    {func(s *config.Stage) { s.Detect.KeepsShardState = false }, "detect: it keeps its shard's state"},
		"detect's series":   {func(s *config.Stage) { s.Detect.MaxSeries = 50000 }, "detect: 50000 series"},
		"detect's memory":   {func(s *config.Stage) { s.Detect.MemoryMB = 512 }, "detect: memory 512 MB for 20000 series"},
		"KPI window":        {func(s *config.Stage) { s.Bridge.KPIWindow = 0 }, "bridge: KPI window 0s"},
		"part of a second":  {func(s *config.Stage) { s.Bridge.Lateness = 1500 * time.Millisecond }, "lateness 1.5s: want whole seconds"},
		"events dropped":    {func(s *config.Stage) { s.Retention.EventDays = 90 }, "retention: events for 90 days: ingest accepts those of 3653"},
		"minutes dropped":   {func(s *config.Stage) { s.Retention.MinuteDays = 730 }, "retention: minutes for 730 days: want at least the 3653 of events"},
		"hours dropped":     {func(s *config.Stage) { s.Retention.MinuteDays, s.Retention.HourDays = 0, 3653 }, "retention: hours for 3653 days: want at least the 0 of minutes"},
		"no such retention": {func(s *config.Stage) { s.Retention.HourDays = 40000 }, "retention: 40000 days"},
		"authorizer":        {func(s *config.Stage) { s.API.Authorizer.Timeout = 20 * time.Second }, "the HTTP API gives up after 10s"},
		"authorizer cache":  {func(s *config.Stage) { s.API.AuthorizerCache = 2 * time.Hour }, "authorizer cache 2h0m0s"},
		"issuer":            {func(s *config.Stage) { s.Tokens.Issuer = "http://a.example" }, `tokens: issuer "http://a.example"`},
		"audience":          {func(s *config.Stage) { s.Tokens.Audience = "" }, "tokens: no audience"},
		"no signing key":    {func(s *config.Stage) { s.Tokens.Keys = nil }, "tokens: 0 keys"},
		"key's name":        {func(s *config.Stage) { s.Tokens.Keys = []config.SigningKey{{Name: "2nd"}} }, `tokens: key "2nd"`},
		"key twice":         {func(s *config.Stage) { s.Tokens.Keys = []config.SigningKey{{Name: "A"}, {Name: "A"}} }, "named twice"},
		"key that ends":     {func(s *config.Stage) { s.Tokens.Keys = []config.SigningKey{{Name: "A", NotAfter: time.Unix(1, 0)}} }, "the key that signs has no end"},
		"issuer's keys":     {func(s *config.Stage) { s.Tokens.Trusted = []config.TrustedIssuer{{JWKSURI: "http://a.example"}} }, "want https"},
		"shared secrets": {func(s *config.Stage) {
			s.Tokens.Trusted = []config.TrustedIssuer{{Issuer: "i", Audience: "a", GrantsClaim: "g", JWKSURI: "https://a.example", Algorithms: []string{"HS256"}}}
		}, `algorithm "HS256"`},
		"burst":            {func(s *config.Stage) { s.API.Burst = 1 }, "burst of 1"},
		"database kind":    {func(s *config.Stage) { s.Database.Kind = "rds" }, `kind "rds"`},
		"instance for x86": {func(s *config.Stage) { s.Database.InstanceType = "m7i.large" }, "want an arm64 one"},
		"existing, no ARN": {func(s *config.Stage) { s.Database = config.Database{Kind: config.ExistingDatabase} }, "want the complete ARN"},
		"CIDR":             {func(s *config.Stage) { s.Network.CIDR = "10.0.0.0/30" }, `CIDR "10.0.0.0/30"`},
		"samples":          {func(s *config.Stage) { s.Monitoring.RetentionDays = 2000 }, "monitoring: retention of 2000 days"},
		"log level":        {func(s *config.Stage) { s.Log.Level = "trace" }, `level "trace"`},
		"log retention":    {func(s *config.Stage) { s.Log.RetentionDays = 8 }, "log: retention of 8 days"},
	} {
		t.Run(name, func(t *testing.T) {
			s := own
			c.change(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate: %v, want %q", err, c.want)
			}
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	err := config.Stage{}.Validate()
	if err == nil {
		t.Fatal("an empty stage is valid")
	}
	for _, part := range []string{"name", "removal", "stream: ", "ingest: ", "store: ", "bridge: ", "detect: ", "migrate: ", "api: ", "tokens: ", "database: ", "network: ", "monitoring: ", "log: "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("nothing about %q in: %v", part, err)
		}
	}
}
