package stacks_test

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/upgrade"
)

var (
	update  = flag.Bool("update", false, "write the golden files")
	release = flag.String("release", "", "write the templates of all stages as those of a release with this `name`, such as 2026-12-24")
)

const releasedDir = "testdata/released"

// TestUpgrade deploys this program over each released one, in each stage.
func TestUpgrade(t *testing.T) {
	current := map[string]upgrade.Deployment{}
	for _, s := range config.Stages() {
		current[string(s.Name)] = deployment(t, stage(t, s.Name))
	}
	if *release != "" {
		writeReleased(t, *release, current)
	}
	files, err := filepath.Glob(filepath.Join(releasedDir, "*.json.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no released templates in %s: %v", releasedDir, err)
	}
	for _, file := range files {
		for name, released := range readReleased(t, file) {
			if current[name] == nil {
				t.Errorf("%s: the stage %s is gone", file, name)
				continue
			}
			for _, p := range upgrade.Check(released, current[name]) {
				t.Errorf("%s, %s: %v", filepath.Base(file), name, p)
			}
		}
	}
}

// change is a documented change of a stage's configuration, in one or more deployments.
type change struct {
	name  string
	steps []func(*config.Stage)
	// problems are those that the change has, as "kind: Stack/Resource" where * is any text:
	// what the documents say of it.
	problems []string
}

// documentedChanges are the changes that docs/DEPLOYMENT.md describes.
func documentedChanges() []change {
	one := func(name string, f func(*config.Stage)) change {
		return change{name: name, steps: []func(*config.Stage){f}}
	}
	keys := func(keys ...config.SigningKey) func(*config.Stage) {
		return func(s *config.Stage) { s.Tokens.Keys = keys }
	}
	first, second := config.SigningKey{Name: "First"}, config.SigningKey{Name: "Second"}
	ending := config.SigningKey{Name: "First", NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	return []change{
		{
			name:     "key rotation",
			steps:    []func(*config.Stage){keys(first, second), keys(second, ending), keys(second)},
			problems: []string{"data removed: Api/SigningKeyFirst*"}, // the purpose of the last step
		},
		{name: "compromised key", steps: []func(*config.Stage){keys(first, second), keys(second, ending)}},
		{name: "log level", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Log.Level = config.Debug },
			func(s *config.Stage) { s.Log.Level = config.Warn },
		}},
		one("log retention", func(s *config.Stage) { s.Log.RetentionDays = 365 }),
		one("retention of events", func(s *config.Stage) { s.Ingest.RetentionDays, s.Retention.EventDays = 90, 90 }),
		one("retention of the stream", func(s *config.Stage) { s.Stream.Retention += 24 * time.Hour }),
		one("retention of samples", func(s *config.Stage) { s.Monitoring.RetentionDays = 10 }),
		{name: "shards", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Stream.Shards = 3 },
			func(s *config.Stage) { s.Stream.Mode, s.Stream.Shards, s.Stream.MaxShards = config.OnDemand, 0, 4 },
			func(s *config.Stage) { s.Stream.Mode, s.Stream.Shards, s.Stream.MaxShards = config.Provisioned, 2, 0 },
		}},
		{name: "enhanced fan-out", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Store.EnhancedFanOut = true },
			func(s *config.Stage) { s.Store.EnhancedFanOut = false },
		}},
		one("windows of the KPIs", func(s *config.Stage) { s.Bridge.KPIWindow, s.Bridge.Lateness = 10*time.Second, 5*time.Second }),
		one("instance type", func(s *config.Stage) { s.Database.InstanceType = "r7g.2xlarge" }),
		one("size of the volume", func(s *config.Stage) { s.Database.VolumeGiB, s.Database.VolumeIOPS = 2000, 8000 }),
		{name: "backups", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Database.BackupDays = 7 },
			func(s *config.Stage) { s.Database.BackupDays = 0 },
		}},
		one("machine images", func(s *config.Stage) { s.Database.Image, s.Network.NATImage = "2026-12-24", "2026-12-24" }),
		{name: "NAT", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Network.Egress = config.NATGateway },
			func(s *config.Stage) { s.Network.Egress = config.NATInstance },
			func(s *config.Stage) { s.Network.Egress = config.NATGateway },
		}},
		{name: "trusted issuer", steps: []func(*config.Stage){
			func(s *config.Stage) {
				s.Tokens.Trusted = []config.TrustedIssuer{{
					Issuer: "https://idp.example.com", JWKSURI: "https://idp.example.com/jwks", Audience: "client",
					Algorithms: []string{"RS256"}, GrantsClaim: "cognito:groups",
				}}
			},
			func(s *config.Stage) { s.Tokens.Trusted = nil },
		}},
		{name: "address of the API", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Tokens.Issuer = "https://api.example.com" },
			func(s *config.Stage) { s.Tokens.Issuer = "" },
		}},
		{name: "ICE servers", steps: []func(*config.Stage){
			func(s *config.Stage) {
				s.API.ICE = config.ICE{
					STUN: []string{"stun:stun.example.com"}, TURN: []string{"turn:turn.example.com"}, SecretARN: existingSecret,
				}
			},
			func(s *config.Stage) { s.API.ICE = config.ICE{} },
		}, problems: []string{"data removed: Signaling/TurnServerLogs*"}},
		{name: "domain of the live path", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Live.Domain, s.Live.HostedZoneID = "", "" },
			func(s *config.Stage) {
				s.Live.Domain, s.Live.HostedZoneID = "plant.example.com", "Z9876543210ABCDEFGHIJ"
			},
		}},
		{name: "no TURN servers", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Live.Turn = config.Turn{} },
		}, problems: []string{"data removed: Signaling/TurnServerLogs*"}},
		one("tasks of the live path", func(s *config.Stage) {
			s.Live.Signaling.MaxTasks, s.Live.Signaling.MemoryMB, s.Live.Valkey.Nodes, s.Live.Turn.Tasks = 20, 2048, 3, 4
		}),
		{name: "alarm target", steps: []func(*config.Stage){
			func(s *config.Stage) { s.AlarmEmail = "others@example.com" },
			func(s *config.Stage) { s.AlarmTopicARN = "arn:aws:sns:eu-central-1:123456789012:incidents" },
			func(s *config.Stage) { s.AlarmEmail = "" },
			func(s *config.Stage) { s.AlarmEmail, s.AlarmTopicARN = "operations@example.com", "" },
		}},
		one("retention lock", func(s *config.Stage) { s.Audit.Lock.Days = 366 }),
		{name: "from the own database to another", steps: []func(*config.Stage){
			func(s *config.Stage) {
				s.Database.Kind, s.Database.SecretARN, s.Database.KeepInstance = config.ExistingDatabase, existingSecret, true
			},
			func(s *config.Stage) {
				s.Database = config.Database{Kind: config.ExistingDatabase, SecretARN: existingSecret}
				s.Network = config.Network{}
			},
		}, problems: []string{ // the last step is there to remove them
			"data removed: Data/DatabaseData*", "data removed: Data/DatabaseSecret*", "data removed: Data/DatabaseZone*",
			"data removed: Data/FlowLogs*", "data removed: Data/Vpc*",
			"data removed: Data/AWS*LogGroup*",
		}},
		one("customer key", func(s *config.Stage) { s.Encryption = config.CustomerKey }),
		// The documents say that these are not possible; the reasons.
		{name: "from the own database to another in one step", steps: []func(*config.Stage){func(s *config.Stage) {
			s.Database, s.Network = config.Database{Kind: config.ExistingDatabase, SecretARN: existingSecret}, config.Network{}
		}}, problems: []string{
			"export in use: Data/*", "data removed: Data/DatabaseData*", "data removed: Data/DatabaseSecret*",
			"data removed: Data/DatabaseZone*", "data removed: Data/FlowLogs*", "data removed: Data/Vpc*",
			"data removed: Data/AWS*LogGroup*",
		}},
		{name: "back from the customer key", steps: []func(*config.Stage){
			func(s *config.Stage) { s.Encryption = config.CustomerKey },
			func(s *config.Stage) { s.Encryption = config.AWSManaged },
		}, problems: []string{"export in use: Monitoring/*Key*", "data removed: Monitoring/Key*"}},
		{name: "customer key for the volume and the samples", steps: []func(*config.Stage){func(s *config.Stage) {
			s.Encryption, s.Database.CustomerKey, s.Monitoring.CustomerKey = config.CustomerKey, true, true
		}}, problems: []string{
			"data replaced: Data/DatabaseData*", "data replaced: Monitoring/Workspace", "export in use: Monitoring/*Workspace*",
		}},
		{name: "other zones", steps: []func(*config.Stage){func(s *config.Stage) { s.Zones = []string{"b", "c"} }}, problems: []string{
			"data replaced: Data/VpcP*Subnet?Subnet*", "name in use: Data/VpcP*Subnet?Subnet*",
			"data replaced: Data/DatabaseData*", "export in use: Data/*Subnet*",
			"data replaced: Signaling/VpcPublicSubnet*", "name in use: Signaling/VpcPublicSubnet*",
			"data replaced: Signaling/VpcIsolatedSubnet*", "name in use: Signaling/VpcIsolatedSubnet*",
		}},
	}
}

// TestDocumentedChanges deploys each documented change over the deployment before it, in
// the stage with the most kinds of resources.
func TestDocumentedChanges(t *testing.T) {
	before := deployment(t, stage(t, config.Staging))
	for _, c := range documentedChanges() {
		t.Run(c.name, func(t *testing.T) {
			var found []string
			from, s := before, stage(t, config.Staging)
			for i, step := range c.steps {
				step(&s)
				to := deployment(t, s)
				for _, p := range upgrade.Check(from, to) {
					if k := matching(c.problems, p); k >= 0 {
						found = append(found, c.problems[k])
					} else {
						t.Errorf("step %d: %v", i+1, p)
					}
				}
				from = to
			}
			for _, p := range c.problems {
				if !slices.Contains(found, p) {
					t.Errorf("no problem %q: correct the documents", p)
				}
			}
		})
	}
}

// matching returns the index of the expected problem that matches p, or -1.
func matching(expected []string, p upgrade.Problem) int {
	name := fmt.Sprintf("%s: %s/%s", p.Kind, p.Stack, strings.ReplaceAll(p.Resource, "/", "."))
	return slices.IndexFunc(expected, func(pattern string) bool {
		ok, err := filepath.Match(pattern, name)
		return ok && err == nil
	})
}

// TestReferences compares the references between the stacks with the golden list: a new
// export is a promise that its value does not change.
func TestReferences(t *testing.T) {
	var lines []string
	for _, s := range []config.Stage{stage(t, config.Prod), existingDatabase(t)} {
		d := deployment(t, s)
		lines = append(lines, fmt.Sprintf("# %s, %s database", s.Name, s.Database.Kind))
		lines = append(lines, references(d)...)
	}
	got := strings.Join(lines, "\n") + "\n"
	const golden = "testdata/references.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("references between stacks (-golden +now; -update writes the file, docs/adr/0045 has the rule):\n%s", diff)
	}
}

// references lists each export and each published parameter with the stacks that read it.
func references(d upgrade.Deployment) []string {
	readers := map[string][]string{}
	for name, s := range d {
		part := name[strings.LastIndex(name, "-")+1:]
		for export := range s.Template.Exports() {
			readers["export "+export] = append(readers["export "+export], "")
		}
		for _, export := range s.Template.Imports() {
			readers["export "+export] = append(readers["export "+export], part)
		}
		for _, p := range s.Template.Parameters {
			if published, _ := p.Default.(string); strings.HasPrefix(published, "/insighthub/") {
				readers["parameter "+published] = append(readers["parameter "+published], part)
			}
		}
	}
	var lines []string
	for reference, parts := range readers {
		slices.Sort(parts)
		lines = append(lines, reference+" →"+strings.Join(parts, " "))
	}
	slices.Sort(lines)
	return lines
}

func readReleased(t *testing.T, path string) map[string]upgrade.Deployment {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var stages map[string]upgrade.Deployment
	if err := json.NewDecoder(unpacked).Decode(&stages); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return stages
}

func writeReleased(t *testing.T, name string, stages map[string]upgrade.Deployment) {
	t.Helper()
	file, err := os.Create(filepath.Join(releasedDir, filepath.Base(name)+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(packed).Encode(stages); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
