package stacks_test

import (
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
)

// TestDestroy checks that dev can be destroyed: CloudFormation does not delete a bucket with
// objects nor a hosted zone with records, and a locked object cannot be deleted.
func TestDestroy(t *testing.T) {
	a := synthesiseWith(t, stage(t, config.Dev))
	emptied := ""
	for _, r := range a.ofType("Custom::S3AutoDeleteObjects") {
		emptied += text(r.Properties["BucketName"])
	}
	for _, b := range a.ofType("AWS::S3::Bucket") {
		_, id, _ := strings.Cut(b.ID, "/")
		locked := b.Properties["ObjectLockEnabled"] == true
		if empties := strings.Contains(emptied, `"`+id+`"`); empties == locked || locked != (b.DeletionPolicy == "Retain") {
			t.Errorf("%s: locked %t, emptied %t, deletion policy %s", b.ID, locked, empties, b.DeletionPolicy)
		}
	}
	if zone := a.one(t, "AWS::Route53::HostedZone"); zone.DeletionPolicy != "Retain" {
		t.Errorf("%s: deletion policy %s, want Retain", zone.ID, zone.DeletionPolicy)
	}
	for _, name := range []config.StageName{config.Staging, config.Prod} {
		if n := len(synthesiseWith(t, stage(t, name)).ofType("Custom::S3AutoDeleteObjects")); n > 0 {
			t.Errorf("%s: %d buckets are emptied when the stack is deleted", name, n)
		}
	}
}

// TestImagesArePinned checks that no deployment takes a newer machine image by itself.
func TestImagesArePinned(t *testing.T) {
	for _, name := range []config.StageName{config.Dev, config.Prod} {
		s := stage(t, name)
		a := synthesiseWith(t, s)
		for part, raw := range a.Raw {
			if strings.Contains(raw, "AWS::EC2::Image::Id") || strings.Contains(raw, "resolve:ssm") {
				t.Errorf("%s, %s: an image that changes with the parameter's value", name, part)
			}
		}
		lookups := map[string]string{}
		for _, r := range a.ofType("Custom::MachineImage") {
			_, id, _ := strings.Cut(r.ID, "/")
			lookups[id] = text(r.Properties)
		}
		machines := append(a.ofType("AWS::EC2::Instance"), a.ofType("AWS::EC2::LaunchTemplate")...)
		for _, m := range machines {
			image := m.Properties["ImageId"]
			if data, ok := m.Properties["LaunchTemplateData"].(map[string]any); ok {
				image = data["ImageId"]
			}
			pinned := false
			for id, lookup := range lookups {
				pinned = pinned || strings.Contains(text(image), `"`+id+`"`) && strings.Contains(lookup, "image 2026-11-30")
			}
			if !pinned && image != nil {
				t.Errorf("%s, %s: image %s, want that of a lookup with the stage's label", name, m.ID, text(image))
			}
		}
		if want := map[config.StageName]int{config.Dev: 2, config.Prod: 1}[name]; len(lookups) != want {
			t.Errorf("%s: %d lookups, want %d", name, len(lookups), want)
		}
	}
}
