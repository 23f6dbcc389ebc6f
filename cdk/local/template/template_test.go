package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func update() bool { f := flag.Lookup("update"); return f != nil && f.Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	os.Exit(m.Run())
}

func TestRead(t *testing.T) {
	t.Parallel()
	p, err := Read(filepath.Join("testdata", "assembly"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	var skipped bytes.Buffer
	if err := p.PrintSkipped(&skipped); err != nil {
		t.Fatal(err)
	}
	golden(t, "skipped.txt", skipped.Bytes())
	p.Skipped = nil
	plan, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", append(plan, '\n'))

	again, err := Read(filepath.Join("testdata", "assembly"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	again.Skipped = nil
	if diff := cmp.Diff(p, again); diff != "" {
		t.Error("the second plan differs:", diff)
	}
	if f, ok := p.Function(p.Triggers[0].FunctionARN); !ok || f.Program != "migrate" {
		t.Errorf("function of the trigger: got %+v, want migrate", f)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if update() {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", path, diff)
	}
}

func TestReadMissing(t *testing.T) {
	t.Parallel()
	if _, err := Read(t.TempDir(), "dev"); !errors.Is(err, ErrNoAssembly) {
		t.Errorf("empty folder: got %v, want %v", err, ErrNoAssembly)
	}
	_, err := Read(filepath.Join("testdata", "assembly"), "staging")
	if !errors.Is(err, ErrNoAssembly) || !strings.Contains(err.Error(), "dev, prod") && !strings.Contains(err.Error(), "prod, dev") {
		t.Errorf("unknown stage: got %v, want %v and the stages", err, ErrNoAssembly)
	}
}

// TestReadErrors: the error of each template names the stack and the resource.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	function := func(value string) string {
		return `{"Resources":{"Fn":{"Type":"AWS::Lambda::Function","Properties":{"Runtime":"provided.al2023",` +
			`"Environment":{"Variables":{"INSIGHTHUB_FUNCTION":"x","V":` + value + `}}}}}}`
	}
	for name, c := range map[string]struct{ template, want string }{
		"unknown function":    {function(`{"Fn::Cidr":["10.0.0.0/16",2,8]}`), "Fn::Cidr"},
		"unknown reference":   {function(`{"Ref":"Nothing"}`), "Nothing"},
		"unknown attribute":   {function(`{"Fn::GetAtt":["Nothing","Arn"]}`), "Nothing"},
		"unknown export":      {function(`{"Fn::ImportValue":"nobody"}`), "nobody"},
		"unknown condition":   {function(`{"Fn::If":["Nothing",1,2]}`), "Nothing"},
		"select past the end": {function(`{"Fn::Select":[2,["a","b"]]}`), "Fn::Select"},
		"join of a text":      {function(`{"Fn::Join":["",{"Ref":"AWS::Region"}]}`), "Fn::Join"},
		"sub of nothing":      {function(`{"Fn::Sub":"${Nothing.Arn}"}`), "Nothing"},
		"object for a string": {function(`{"a":"b"}`), "want a string"},
		"map without the key": {function(`{"Fn::FindInMap":["a","b","c"]}`), "Fn::FindInMap"},
		"name in a circle":    {`{"Resources":{"Fn":{"Type":"AWS::Kinesis::Stream","Properties":{"Name":{"Ref":"Fn"}}}}}`, "circular"},
		"mapping without a fn": {`{"Resources":{"Fn":{"Type":"AWS::Lambda::EventSourceMapping","Properties":` +
			`{"FunctionName":"gone","EventSourceArn":"arn:aws:kinesis:r:a:stream/s"}}}}`, "gone"},
		"rules outside": {`{"Resources":{"Fn":{"Type":"AWS::APS::RuleGroupsNamespace","Properties":` +
			`{"Name":"../up","Data":"groups: []"}}}}`, "../up"},
		"schedule of no fn": {`{"Resources":{"Fn":{"Type":"AWS::Events::Rule","Properties":` +
			`{"ScheduleExpression":"rate(1 hour)","Targets":[{"Id":"T","Arn":"arn:aws:lambda:r:a:function:gone"}]}}}}`, "gone"},
		"rule of no fn": {`{"Resources":{"Fn":{"Type":"AWS::Events::Rule","Properties":` +
			`{"EventPattern":{"source":["s"]},"Targets":[{"Id":"T","Arn":"arn:aws:lambda:r:a:function:gone"}]}}}}`, "gone"},
		"throttle of text": {
			`{"Resources":{"Fn":{"Type":"AWS::ApiGatewayV2::Stage","Properties":` +
				`{"ApiId":"a","RouteSettings":{"GET /":{"ThrottlingBurstLimit":"some"}}}}}}`,
			"RouteSettings.GET /.ThrottlingBurstLimit: some is not",
		},
		"not a number": {`{"Resources":{"Fn":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":"many"}}}}`, "many"},
	} {
		dir := t.TempDir()
		manifest := `{"artifacts":{"MyStack":{"type":"aws:cloudformation:stack","properties":{"templateFile":"t.json"}}}}`
		for file, content := range map[string]string{"manifest.json": manifest, "t.json": c.template} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Read(dir, "dev")
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "MyStack/Fn") {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// FuzzRead checks that reading any template ends, with a plan or an error.
func FuzzRead(f *testing.F) {
	for _, file := range []string{"Flow.template.json", "assembly-Nested/Data.template.json"} {
		raw, err := os.ReadFile(filepath.Join("testdata", "assembly", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"Conditions":{"a":{"Condition":"a"}},"Resources":{"R":{"Type":"AWS::S3::Bucket","Condition":"a"}}}`))
	f.Add([]byte(`{"Outputs":{"o":{"Value":{"Fn::ImportValue":"x"},"Export":{"Name":"x"}}},` +
		`"Resources":{"R":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":{"Fn::ImportValue":"x"}}}}}`))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		s := &stack{name: "S", account: defaultAccount, region: defaultRegion}
		if json.Unmarshal(raw, &s.template) != nil {
			return
		}
		all, err := newStacks([]*stack{s})
		if err != nil {
			return
		}
		var p Plan
		for id := range s.template.Resources {
			if p.add(newResolver(all, s), id) != nil {
				return
			}
		}
		_ = p.check()
	})
}
