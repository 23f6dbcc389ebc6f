package template

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// reason says why resources of a type, or of a service (a prefix that ends with ::),
// do not run here. The first match counts.
type reason struct {
	prefix string
	group  Group
	text   string
}

func reasons() []reason {
	return []reason{
		{"AWS::IAM::", NeedsNone, "permissions are not checked"},
		{"AWS::Lambda::Permission", NeedsNone, "permissions are not checked"},
		{"AWS::S3::BucketPolicy", NeedsNone, "permissions are not checked"},
		{"AWS::SecretsManager::ResourcePolicy", NeedsNone, "permissions are not checked"},
		{"AWS::SNS::TopicPolicy", NeedsNone, "permissions are not checked"},
		{"AWS::SQS::QueuePolicy", NeedsNone, "permissions are not checked"},
		{"AWS::KMS::", NeedsNone, "nothing is encrypted with keys of AWS"},
		{"AWS::Lambda::Version", NeedsNone, "there is one version, the one that was built"},
		{"AWS::Lambda::Alias", NeedsNone, "there is one version, the one that was built"},
		{"AWS::Kinesis::StreamConsumer", NeedsNone, "each mapping reads the stream on its own"},
		{"AWS::SecretsManager::SecretTargetAttachment", NeedsNone, "the secret names the local database"},
		{"AWS::Logs::", NeedsNone, "logs are files"},
		{"AWS::CDK::Metadata", NeedsNone, "it describes the assembly"},
		{"AWS::EC2::Instance", NeedsNone, "it stands for a network or a database that one machine has by itself"},
		{"AWS::EC2::LaunchTemplate", NeedsNone, "the database is a local PostgreSQL"},
		{"AWS::EC2::Volume", NeedsNone, "the database is a local PostgreSQL"},
		{"AWS::AutoScaling::", NeedsNone, "the database is a local PostgreSQL"},
		{"AWS::EC2::", NeedsNone, "everything listens on this machine only"},
		{"AWS::Route53::", NeedsNone, "everything listens on this machine only"},
		{"Custom::VpcRestrictDefaultSG", NeedsNone, "everything listens on this machine only"},
		{"AWS::CloudWatch::", NoBody, "nothing watches metrics here"},
		{"AWS::SNS::", NoBody, "no alarm is sent"},
		{"AWS::SQS::Queue", NoBody, "what could not be delivered is a line in a log"},
		{"AWS::DLM::", NoBody, "no backups are taken"},
		{"AWS::Backup::", NoBody, "no backups are taken"},
	}
}

func (p *Plan) skip(id ID, kind string) {
	s := Skipped{ID: id, Type: kind, Group: NoBody, Reason: "unknown to the local stack"}
	for _, r := range reasons() {
		if kind == r.prefix || strings.HasSuffix(r.prefix, "::") && strings.HasPrefix(kind, r.prefix) {
			s.Group, s.Reason = r.group, r.text
			break
		}
	}
	p.Skipped = append(p.Skipped, s)
}

// skipFunction lists a function that this module does not hold.
func (p *Plan) skipFunction(id ID, res resource, runtime string) {
	s := Skipped{ID: id, Type: res.Type, Group: NoBody, Reason: "its runtime is " + runtime}
	// Providers are the CDK's own; what they do at a deployment is done here, or listed
	// with the custom resource.
	if strings.Contains(id.LogicalID, "CustomResourceProvider") {
		s.Group, s.Reason = NeedsNone, "it serves a custom resource of the CDK"
	}
	p.Skipped = append(p.Skipped, s)
}

// PrintSkipped lists what does not run here, by reason, type and logical id.
func (p *Plan) PrintSkipped(w io.Writer) error {
	for _, g := range []struct {
		group Group
		title string
	}{
		{NoBody, "Not run here, it has no local body:"},
		{NeedsNone, "Not run here, none is needed:"},
	} {
		if err := p.printGroup(w, g.group, g.title); err != nil {
			return fmt.Errorf("list what is skipped: %w", err)
		}
	}
	return nil
}

func (p *Plan) printGroup(w io.Writer, group Group, title string) error {
	type line struct{ reason, kind, stack string }
	ids := make(map[line][]string)
	var order []line
	for _, s := range p.Skipped {
		if s.Group != group {
			continue
		}
		l := line{s.Reason, s.Type, s.Stack}
		if ids[l] == nil {
			order = append(order, l)
		}
		ids[l] = append(ids[l], s.LogicalID)
	}
	if len(order) == 0 {
		return nil
	}
	slices.SortFunc(order, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(a.kind, b.kind), cmp.Compare(a.stack, b.stack))
	})
	var b strings.Builder
	fmt.Fprintln(&b, title)
	last := ""
	for _, l := range order {
		if l.reason != last {
			fmt.Fprintf(&b, "  %s\n", l.reason)
			last = l.reason
		}
		fmt.Fprintf(&b, "    %s, %s: %s\n", l.kind, l.stack, strings.Join(ids[l], " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
