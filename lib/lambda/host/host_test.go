package host_test

import (
	"maps"
	"testing"

	lambdahost "github.com/insighthub/insighthub/lib/lambda/host"
)

func TestNewHost(t *testing.T) {
	t.Parallel()
	good := map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
	host, err := lambdahost.NewHost(func(name string) string { return good[name] })
	if err != nil || host.AWS.Region != "eu-west-1" || host.Registry == nil {
		t.Fatalf("%+v, %v", host, err)
	}
	for name, value := range map[string]string{"AWS_REGION": "", "METRICS_INTERVAL_SECONDS": "often"} {
		bad := maps.Clone(good)
		bad[name] = value
		if _, err := lambdahost.NewHost(func(name string) string { return bad[name] }); err == nil {
			t.Errorf("%s=%q was taken", name, value)
		}
	}
}
