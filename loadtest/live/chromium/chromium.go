// Package chromium runs a headless Chromium on a page that reports by itself.
package chromium

import (
	"context"
	"os"
	"path/filepath"

	"github.com/insighthub/insighthub/loadtest/localstack"
)

// Config of a browser.
type Config struct {
	Binary string // as make tools installs it
	// Dir gets the log and, while it runs, the empty profile.
	Dir string
	URL string
	// Flags are added to those of every run.
	Flags []string
}

// flags of every run: as root, without a screen, and without what it would do in the background.
func flags(profile string) []string {
	return []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + profile,
		// A page that nobody looks at would be slowed down.
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
	}
}

// Browser is a running Chromium.
type Browser struct {
	*localstack.Process

	profile string
}

// Start starts a browser on the URL. Its output goes to chromium.log. The caller stops it.
func Start(ctx context.Context, c Config) (*Browser, error) {
	profile := filepath.Join(c.Dir, "profile")
	if err := os.RemoveAll(profile); err != nil {
		return nil, err
	}
	args := append(append(flags(profile), c.Flags...), c.URL)
	p, err := localstack.StartProgram(ctx, filepath.Join(c.Dir, "chromium.log"), c.Binary, args...)
	if err != nil {
		return nil, err
	}
	return &Browser{p, profile}, nil
}

// Stop ends the browser and removes its profile.
func (b *Browser) Stop() error {
	if err := b.Process.Stop(); err != nil {
		return err
	}
	return os.RemoveAll(b.profile)
}
