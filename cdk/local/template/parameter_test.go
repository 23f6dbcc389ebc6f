package template

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPublishedParameters reads a function whose environment has values that another stack
// publishes in Parameter Store, and one of AWS's own parameters.
func TestPublishedParameters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"artifacts":{
			"A":{"type":"aws:cloudformation:stack","properties":{"templateFile":"a.json"}},
			"B":{"type":"aws:cloudformation:stack","properties":{"templateFile":"b.json"}}}}`,
		"a.json": `{"Resources":{
			"Bus":{"Type":"AWS::Events::EventBus","Properties":{"Name":"anomalies"}},
			"One":{"Type":"AWS::SSM::Parameter","Properties":{"Name":"/p/one","Type":"String",
				"Value":{"Fn::Join":["",["bus ",{"Ref":"Bus"}]]}}},
			"Two":{"Type":"AWS::SSM::Parameter","Properties":{"Name":"/p/two","Type":"StringList","Value":"x,y"}}}}`,
		"b.json": `{"Parameters":{
			"P1":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/p/one"},
			"P2":{"Type":"AWS::SSM::Parameter::Value<List<String>>","Default":"/p/two"},
			"P3":{"Type":"AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>","Default":"/aws/service/image"}},
			"Resources":{"F":{"Type":"AWS::Lambda::Function","Metadata":{"insighthub:package":"functions/store"},
				"Properties":{"Runtime":"provided.al2023","Environment":{"Variables":{
					"ONE":{"Ref":"P1"},"SECOND":{"Fn::Select":[1,{"Ref":"P2"}]},"IMAGE":{"Ref":"P3"}}}}}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Read(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ONE": "bus anomalies", "SECOND": "y", "IMAGE": "/aws/service/image"}
	if diff := cmp.Diff(want, p.Functions[0].Env); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}
