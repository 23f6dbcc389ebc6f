package template

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// reason says why resources of a type, or of a service (a prefix that ends with ::), are
// not emulated. The first match counts.
type reason struct {
	prefix string
	group  Group
	text   string
}

func reasons() []reason {
	return []reason{
		{"AWS::IAM::", NotNeeded, "permissions are not checked"},
		{"AWS::Lambda::Permission", NotNeeded, "permissions are not checked"},
		{"AWS::S3::BucketPolicy", NotNeeded, "permissions are not checked"},
		{"AWS::SecretsManager::ResourcePolicy", NotNeeded, "permissions are not checked"},
		{"AWS::SNS::TopicPolicy", NotNeeded, "permissions are not checked"},
		{"AWS::SQS::QueuePolicy", NotNeeded, "permissions are not checked"},
		{"AWS::KMS::", NotNeeded, "nothing is encrypted with AWS keys"},
		{"AWS::Lambda::Version", NotNeeded, "only the version that was built exists"},
		{"AWS::Lambda::Alias", NotNeeded, "only the version that was built exists"},
		{"AWS::Kinesis::StreamConsumer", NotNeeded, "event source mappings read the stream directly"},
		{"AWS::SecretsManager::SecretTargetAttachment", NotNeeded, "the secret holds the address of the local database"},
		{parameterType, NotNeeded, "its readers get its value from the template"},
		{"AWS::Logs::", NotNeeded, "logs are written to files"},
		{"AWS::CDK::Metadata", NotNeeded, "it describes the assembly"},
		{"AWS::EC2::Instance", NotNeeded, "the network and the database are local"},
		{"AWS::EC2::LaunchTemplate", NotNeeded, "the database is a local PostgreSQL"},
		{"AWS::EC2::Volume", NotNeeded, "the database is a local PostgreSQL"},
		{"AWS::AutoScaling::", NotNeeded, "the database is a local PostgreSQL"},
		{"AWS::EC2::", NotNeeded, "all addresses are on the loopback interface"},
		{"AWS::Route53::", NotNeeded, "all addresses are on the loopback interface"},
		{"Custom::VpcRestrictDefaultSG", NotNeeded, "all addresses are on the loopback interface"},
		{"Custom::MachineImage", NotNeeded, "the network and the database are local"},
		{"Custom::S3AutoDeleteObjects", NotNeeded, "buckets are files"},
		{"AWS::ECS::", NotNeeded, "one task of each task definition runs"},
		{"AWS::ApplicationAutoScaling::", NotNeeded, "one task of each task definition runs"},
		{"AWS::ElastiCache::SubnetGroup", NotNeeded, "all addresses are on the loopback interface"},
		{"AWS::ElasticLoadBalancingV2::", NotNeeded, "clients reach the tasks directly, without TLS"},
		{"AWS::CertificateManager::", NotNeeded, "clients reach the tasks directly, without TLS"},
		{"AWS::CloudWatch::", NotEmulated, "metrics have no alarms"},
		{"AWS::SNS::", NotEmulated, "notifications are not sent; Prometheus evaluates the alerts"},
		{"AWS::SQS::Queue", NotEmulated, "events that were not delivered are saved in a log"},
		{"AWS::DLM::", NotEmulated, "no backups are taken"},
		{"AWS::Backup::", NotEmulated, "no backups are taken"},
	}
}

func (p *Plan) skip(id ID, kind string) {
	s := Skipped{ID: id, Type: kind, Group: NotEmulated, Reason: "the local stack has no emulator of this type"}
	for _, r := range reasons() {
		if kind == r.prefix || strings.HasSuffix(r.prefix, "::") && strings.HasPrefix(kind, r.prefix) {
			s.Group, s.Reason = r.group, r.text
			break
		}
	}
	p.Skipped = append(p.Skipped, s)
}

// skipFunction lists a function whose source is not in this module.
func (p *Plan) skipFunction(id ID, res resource, runtime string) {
	s := Skipped{ID: id, Type: res.Type, Group: NotEmulated, Reason: "its runtime is " + runtime}
	// Providers belong to the CDK. The local stack does their work, or lists the custom
	// resource.
	if strings.Contains(id.LogicalID, "CustomResourceProvider") {
		s.Group, s.Reason = NotNeeded, "it implements a custom resource of the CDK"
	}
	p.Skipped = append(p.Skipped, s)
}

// PrintSkipped lists the resources that are not emulated, by reason, type and logical id.
func (p *Plan) PrintSkipped(w io.Writer) error {
	for _, g := range []struct {
		group Group
		title string
	}{
		{NotEmulated, "Not emulated:"},
		{NotNeeded, "Not needed locally:"},
	} {
		if err := p.printGroup(w, g.group, g.title); err != nil {
			return fmt.Errorf("list the resources that are not emulated: %w", err)
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
