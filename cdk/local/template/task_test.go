package template

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readOne returns the plan of an assembly with one stack, whose resources are given in JSON.
func readOne(t *testing.T, resources string) (*Plan, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"manifest.json": `{"artifacts":{"S":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/unknown-region",
			"properties":{"templateFile":"S.json","stackName":"S","tags":{"insighthub:stage":"dev"}}}}}`,
		"S.json": `{"Resources":{` + resources + `}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Read(dir, "dev")
	return p, dir, err
}

// TestTask: a task has the options, the environment and the secrets of its container, and the
// folder of its image.
func TestTask(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0a", 32)
	p, dir, err := readOne(t, `
		"Secret":{"Type":"AWS::SecretsManager::Secret"},
		"Valkey":{"Type":"AWS::ElastiCache::ReplicationGroup"},
		"Server":{"Type":"AWS::ECS::TaskDefinition","Metadata":{"insighthub:package":"coturn"},"Properties":{"ContainerDefinitions":[{
			"Command":["--realm=plant","--no-cli"],
			"Environment":[{"Name":"REDIS_URL","Value":
				{"Fn::Join":["",["rediss://",{"Fn::GetAtt":["Valkey","PrimaryEndPoint.Address"]}]]}}],
			"Secrets":[{"Name":"TURN_SECRET","ValueFrom":{"Ref":"Secret"}}],
			"Image":{"Fn::Sub":"${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/assets:`+hash+`"}}]}},
		"Other":{"Type":"AWS::ECS::TaskDefinition","Properties":{"ContainerDefinitions":[{"Image":"nginx"}]}},
		"Service":{"Type":"AWS::ECS::Service"},
		"Cluster":{"Type":"AWS::ECS::Cluster"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []Task{{
		ID: ID{"S", "Server"}, Program: "coturn", Options: []string{"--realm=plant", "--no-cli"},
		Env:     map[string]string{"REDIS_URL": "rediss://S-Valkey.PrimaryEndPoint.Address"},
		Secrets: map[string]string{"TURN_SECRET": p.Secrets[0].ARN},
		Image:   filepath.Join(dir, "asset."+hash),
	}}
	if diff := cmp.Diff(want, p.Tasks); diff != "" {
		t.Errorf("tasks (-want +got):\n%s", diff)
	}
	if len(p.Caches) != 1 {
		t.Errorf("caches %v, want one", p.Caches)
	}
	if _, ok := p.Task("signaling"); ok {
		t.Error("a task that the template does not have")
	}
	for _, s := range p.Skipped {
		if (s.LogicalID == "Other") != (s.Group == NotEmulated) {
			t.Errorf("%s is skipped as %d: %s", s, s.Group, s.Reason)
		}
	}
}

// TestTaskRejects: a faulty task definition is an error that names it.
func TestTaskRejects(t *testing.T) {
	t.Parallel()
	for name, container := range map[string]string{
		"an image of a registry": `"Image":"coturn/coturn:4.6"`,
		"an unresolved value":    `"Environment":[{"Name":"A","Value":{"Fn::Transform":{}}}],"Image":":` + strings.Repeat("0a", 32) + `"`,
		"a value that is a list": `"Environment":[{"Name":"A","Value":["b"]}],"Image":":` + strings.Repeat("0a", 32) + `"`,
	} {
		_, _, err := readOne(t, `"Server":{"Type":"AWS::ECS::TaskDefinition","Metadata":{"insighthub:package":"coturn"},
			"Properties":{"ContainerDefinitions":[{`+container+`}]}}`)
		if err == nil || !strings.Contains(err.Error(), "S/Server") {
			t.Errorf("%s: got %v, want an error of S/Server", name, err)
		}
	}
}
