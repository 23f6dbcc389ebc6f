package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/insighthub/insighthub/loadtest/drive"
)

// signalingLoad takes over what `loadtest signaling` has measured of one task of the signaling
// service: its thousands of connections need all files that a process may open.
func (b *bench) signalingLoad(context.Context) error {
	raw, err := os.ReadFile(b.cfg.SignalingResults)
	if errors.Is(err, fs.ErrNotExist) {
		b.report.note("The signaling service with many connections was not measured: %s does not exist.", b.cfg.SignalingResults)
		return nil
	}
	if err != nil {
		return err
	}
	var r struct {
		Commit      string             `json:"commit"`
		Connections int                `json:"connections"`
		BytesEach   float64            `json:"bytes_each"`
		Relay       *drive.Percentiles `json:"relay_ms"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("%s: %w", b.cfg.SignalingResults, err)
	}
	if r.Connections == 0 || r.BytesEach == 0 || r.Relay == nil {
		return fmt.Errorf("%s: want connections, bytes_each and relay_ms", b.cfg.SignalingResults)
	}
	b.report.Signaling = &Signaling{Connections: r.Connections, BytesEach: r.BytesEach, Relay: *r.Relay}
	b.report.note("The signaling service was measured at commit %s, by a run of its own.", r.Commit)
	return nil
}
