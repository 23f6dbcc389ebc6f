package stacks_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/stacks"
	"github.com/insighthub/insighthub/cdk/upgrade"
)

// The CDK runs in one Node.js process of 0.6 GB per test binary; only this package
// starts it, and its tests are not parallel.
func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// resource is a resource of a template.
type resource struct {
	ID         string
	Type       string
	Properties map[string]any
	Metadata   map[string]any
	DependsOn  []string

	DeletionPolicy string
}

// assembly is the cloud assembly of one stage.
type assembly struct {
	// Deployment is the stacks with their whole names.
	Deployment upgrade.Deployment
	// Dir is its folder.
	Dir string
	// Raw are the templates by stack: Data, Monitoring, Telemetry, Api, Audit, Signaling.
	Raw map[string]string
	// After are, by stack, those that are deployed before it.
	After map[string][]string
	// Resources are all templates' resources.
	Resources []resource
	// Findings are those of cdk-nag; a path is without its stack's prefix.
	Findings []finding
}

type finding struct{ Path, Rule, Text string }

const rulesDir = "../grafana/rules"

// synthesise writes the assembly of a stage as the command does, with the repository's
// feature flags, and reads the files.
func synthesise(t *testing.T, stage config.Stage) assembly {
	t.Helper()
	return synthesiseWith(t, stage, cdknag.NewAwsSolutionsChecks(&cdknag.NagPackProps{Reports: jsii.Bool(false)}),
		cdknag.NewServerlessChecks(&cdknag.NagPackProps{Reports: jsii.Bool(false)}))
}

// deployment returns the stacks of a stage, without the checks of cdk-nag, which take most
// of the time.
func deployment(t *testing.T, stage config.Stage) upgrade.Deployment {
	t.Helper()
	return synthesiseWith(t, stage).Deployment
}

func synthesiseWith(t *testing.T, stage config.Stage, checks ...awscdk.IAspect) assembly {
	t.Helper()
	context, err := stacks.Context("../../cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	app := awscdk.NewApp(&awscdk.AppProps{Context: &context, Outdir: jsii.String(out), AnalyticsReporting: jsii.Bool(false)})
	for _, c := range checks {
		awscdk.Aspects_Of(app).Add(c, nil)
	}
	props := stacks.Props{Stage: stage, Functions: builtFunctions(t), Rules: os.DirFS(rulesDir)}
	if _, err := stacks.NewPlatform(app, props); err != nil {
		t.Fatal(err)
	}
	app.Synth(nil)
	a := readAssembly(t, out)
	if a.Deployment, err = upgrade.Read(out, string(stage.Name)); err != nil {
		t.Fatal(err)
	}
	return a
}

// builtFunctions returns a directory of files in place of the built functions, which the
// CDK only copies.
func builtFunctions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Concat(stacks.Functions(), stacks.Services()) {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "bootstrap"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range stacks.Services() {
		if err := os.WriteFile(filepath.Join(dir, name, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readAssembly(t *testing.T, dir string) assembly {
	t.Helper()
	var manifest struct {
		Artifacts map[string]struct {
			Type         string
			Properties   struct{ TemplateFile string }
			Dependencies []string
			Metadata     map[string][]struct {
				Type string
				Data any
			}
		}
		Missing []any
	}
	readJSON(t, filepath.Join(dir, "manifest.json"), &manifest)
	if len(manifest.Missing) > 0 {
		t.Errorf("the assembly needs lookups in an account: %v", manifest.Missing)
	}
	a := assembly{Dir: dir, Raw: map[string]string{}, After: map[string][]string{}}
	for name, artifact := range manifest.Artifacts {
		if artifact.Type != "aws:cloudformation:stack" {
			continue
		}
		for path, entries := range artifact.Metadata {
			for _, e := range entries {
				if e.Type == "aws:cdk:error" || e.Type == "aws:cdk:warning" {
					a.Findings = append(a.Findings, newFinding(path, e.Data))
				}
			}
		}
		file := filepath.Join(dir, artifact.Properties.TemplateFile)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		part := name[strings.LastIndex(name, "-")+1:]
		a.Raw[part] = string(raw)
		for _, before := range artifact.Dependencies {
			a.After[part] = append(a.After[part], before[strings.LastIndex(before, "-")+1:])
		}
		var template struct{ Resources map[string]resource }
		readJSON(t, file, &template)
		for id, r := range template.Resources {
			r.ID = part + "/" + id
			a.Resources = append(a.Resources, r)
		}
	}
	return a
}

func newFinding(path string, data any) finding {
	text, _ := data.(string)
	rule, _, _ := strings.Cut(text, ": ")
	// "/InsightHub-Dev-Data/Vpc/…" becomes "Data/Vpc/…", which is the same in every stage.
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "-", 3)
	return finding{Path: parts[len(parts)-1], Rule: rule, Text: text}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// ofType returns the resources of a type.
func (a assembly) ofType(kind string) []resource {
	var found []resource
	for _, r := range a.Resources {
		if r.Type == kind {
			found = append(found, r)
		}
	}
	return found
}

// one returns the only resource of a type.
func (a assembly) one(t *testing.T, kind string) resource {
	t.Helper()
	found := a.ofType(kind)
	if len(found) != 1 {
		t.Fatalf("%d resources of type %s, want 1", len(found), kind)
	}
	return found[0]
}

// functions returns the project's own functions by name, without those of the CDK's
// custom resources.
func (a assembly) functions() map[string]resource {
	found := map[string]resource{}
	for _, r := range a.ofType("AWS::Lambda::Function") {
		if path, ok := r.Metadata["insighthub:package"].(string); ok {
			found[strings.TrimPrefix(path, "functions/")] = r
		}
	}
	return found
}

// stage returns one of the configured stages.
func stage(t *testing.T, name config.StageName) config.Stage {
	t.Helper()
	found, err := config.Select(string(name))
	if err != nil {
		t.Fatal(err)
	}
	found[0].AlarmEmail = "operations@example.com"
	if name != config.Dev { // dev has no live path in AWS
		found[0].Live.Domain, found[0].Live.HostedZoneID = "live.example.com", "Z0123456789ABCDEFGHIJ"
	}
	return found[0]
}

// text returns v as JSON, to search in and to print.
func text(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
