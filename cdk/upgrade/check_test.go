package upgrade_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/cdk/upgrade"
)

// deploy returns the deployment of two stacks, of which B imports from A.
func deploy(t *testing.T, a, b string) upgrade.Deployment {
	t.Helper()
	d := upgrade.Deployment{}
	for name, s := range map[string]struct {
		text  string
		after []string
	}{"X-Dev-A": {a, nil}, "X-Dev-B": {b, []string{"X-Dev-A"}}} {
		var template upgrade.Template
		if err := json.Unmarshal([]byte(s.text), &template); err != nil {
			t.Fatalf("%s: %v", s.text, err)
		}
		d[name] = upgrade.Stack{Template: template, After: s.after}
	}
	return d
}

const (
	empty = `{}`
	keyOf = `{"Resources":{"Key":{"Type":"AWS::KMS::Key"}},` +
		`"Outputs":{"O":{"Value":{"Fn::GetAtt":["Key","Arn"]},"Export":{"Name":"A:Key"}}}}`
	noExport = `{"Resources":{"Key":{"Type":"AWS::KMS::Key"}}}`
	imports  = `{"Resources":{"F":{"Type":"AWS::Lambda::Function","Properties":{"Role":{"Fn::ImportValue":"A:Key"}}}}}`
	subnet   = `{"Resources":{"S":{"Type":"AWS::EC2::Subnet","Properties":{"VpcId":"v","CidrBlock":"10.0.0.0/24",` +
		`"AvailabilityZone":%ZONE%}}},"Outputs":{"O":{"Value":{"Ref":"S"},"Export":{"Name":"A:Key"}}}}`
	group = `{"Resources":{"G":{"Type":"AWS::EC2::SecurityGroup","Properties":{"VpcId":{"Ref":"V"}}},` +
		`"V":{"Type":"AWS::EC2::VPC","Properties":{"CidrBlock":"%ZONE%"}}}}`
)

func TestCheck(t *testing.T) {
	t.Parallel()
	inZone := func(template, zone string) string { return strings.ReplaceAll(template, "%ZONE%", zone) }
	volume := func(property string) string {
		return `{"Resources":{"D":{"Type":"AWS::EC2::Volume","DeletionPolicy":"Retain","Properties":{` + property + `}}}}`
	}
	queue := func(id, properties string) string {
		return `{"Resources":{"` + id + `":{"Type":"AWS::SQS::Queue","Properties":{` + properties + `}}}}`
	}
	for name, c := range map[string]struct {
		fromA, fromB, toA, toB string
		want                   []string
	}{
		"nothing changes":  {keyOf, imports, keyOf, imports, nil},
		"first deployment": {empty, empty, keyOf, imports, nil},
		// The importing stack no longer imports, but is deployed after the exporting one.
		"export removed": {keyOf, imports, noExport, empty, []string{
			"export in use: A/A:Key: the export is removed, and the deployed stack B imports it",
		}},
		"export removed after its import": {keyOf, empty, noExport, empty, nil},
		"import of what is not exported": {noExport, empty, noExport, imports, []string{
			"import missing: B/A:Key: no stack that is deployed by then exports it",
		}},
		"exported resource replaced": {inZone(subnet, `"a"`), imports, inZone(subnet, `"b"`), imports, []string{
			"export in use: A/A:Key: the export changes, and the deployed stack B imports it",
			"data replaced: A/S: a change of AvailabilityZone replaces the AWS::EC2::Subnet",
			"name in use: A/S: a change of AvailabilityZone replaces the AWS::EC2::Subnet, which keeps its name",
		}},
		"the same zone, otherwise expressed": {
			inZone(subnet, `{"Fn::Select":[0,{"Fn::GetAZs":""}]}`), imports,
			inZone(subnet, `{"Fn::Join":["",[{"Ref":"AWS::Region"},"a"]]}`), imports, nil,
		},
		"replaced by way of a reference": {inZone(group, "10.0.0.0/16"), empty, inZone(group, "10.1.0.0/16"), empty, []string{
			"data replaced: A/V: a change of CidrBlock replaces the AWS::EC2::VPC",
		}},
		"volume in another zone": {volume(`"AvailabilityZone":"a"`), empty, volume(`"AvailabilityZone":"b"`), empty, []string{
			"data replaced: A/D: a change of AvailabilityZone replaces the AWS::EC2::Volume",
		}},
		"larger volume": {volume(`"Size":20`), empty, volume(`"Size":40`), empty, nil},
		"volume removed": {volume(""), empty, empty, empty, []string{
			"data removed: A/D: the AWS::EC2::Volume is no longer in the template (its deletion policy is Retain)",
		}},
		"another logical id": {queue("Q", `"QueueName":"q"`), empty, queue("P", `"QueueName":"q"`), empty, []string{
			"data removed: A/Q: the AWS::SQS::Queue is no longer in the template (its deletion policy is Delete)",
			"name in use: A/P: it has the name of Q, which is deleted after it is created",
		}},
		"type that the table lacks": {empty, empty, `{"Resources":{"Z":{"Type":"AWS::New::Thing"}}}`, empty, []string{
			"unknown type: A/Z: AWS::New::Thing: add it to cdk/upgrade/replacements.json",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range upgrade.Check(deploy(t, c.fromA, c.fromB), deploy(t, c.toA, c.toB)) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestStackRemoved: a stack that is no longer in the assembly stays deployed.
func TestStackRemoved(t *testing.T) {
	t.Parallel()
	from, to := deploy(t, keyOf, imports), deploy(t, keyOf, imports)
	delete(to, "X-Dev-B")
	got := upgrade.Check(from, to)
	if len(got) != 1 || got[0].Kind != upgrade.StackRemoved || got[0].Stack != "B" {
		t.Errorf("problems %v, want the stack B removed", got)
	}
}
