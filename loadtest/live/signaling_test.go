package live

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/loadtest/drive"
)

func TestSignalingLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signaling.json")
	for name, c := range map[string]struct {
		text string
		want *Signaling
		bad  bool
	}{
		"measured": {
			`{"machine":"M","commit":"c","tasks":1,"connections":19960,"bytes_each":10600,"relay_ms":{"p50":0.2,"p95":1,"p99":3,"max":9}}`,
			&Signaling{19_960, 10_600, drive.Percentiles{P50: 0.2, P95: 1, P99: 3, Max: 9}}, false,
		},
		"not JSON":   {`{`, nil, true},
		"no latency": {`{"connections":1,"bytes_each":1}`, nil, true},
		"missing":    {"", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{cfg: Config{SignalingResults: path}}
			_ = os.Remove(path)
			if c.text != "" {
				if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := b.signalingLoad(t.Context())
			if diff := cmp.Diff(c.want, b.report.Signaling); diff != "" || (err != nil) != c.bad {
				t.Errorf("got error %v, differs (-want +got):\n%s", err, diff)
			}
			if !c.bad && len(b.report.Notes) != 1 {
				t.Errorf("got notes %q, want one that says where it is from", b.report.Notes)
			}
		})
	}
}
