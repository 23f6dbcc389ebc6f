package glass_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/insighthub/insighthub/loadtest/glass"
)

// chromium returns the path of the browser that make tools installs.
func chromium(t *testing.T) string {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		path = filepath.Join("..", "..", ".local", "chromium", "bin", "chromium")
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("INSIGHTHUB_TEST_REQUIRED") == "1" {
			t.Fatalf("%v: make tools", err)
		}
		t.Skipf("%v: make tools", err)
	}
	return path
}

func TestChromiumReadsTheTimeCode(t *testing.T) {
	got, err := glass.Measure(t.Context(), glass.Config{Chromium: chromium(t), Duration: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	if got.Frames < 10 || got.Unreadable > 0 || got.Width != 640 || got.Height != 360 {
		t.Errorf("%d frames of %d x %d, %d of them without a valid time code", got.Frames, got.Width, got.Height, got.Unreadable)
	}
}
