// Package glass measures what the platform adds to a picture: from the moment a frame is made to the moment a browser has decoded it.
// A gateway's camera, the test pattern, is viewed by a headless Chromium, which reads the time code out of every decoded picture.
package glass

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/insighthub/insighthub/lib/gateway/testpattern"
	"github.com/insighthub/insighthub/lib/gateway/video"
	"github.com/insighthub/insighthub/lib/gateway/whip"
	"github.com/insighthub/insighthub/loadtest/drive"
)

// Config of a measurement. Chromium is required.
type Config struct {
	Chromium string        // path of the binary
	Duration time.Duration // from the first frame on, 10 s if 0
	// Jitter leaves the receiver's jitter buffer as the browser has it; otherwise the page asks for 0 ms.
	Jitter bool
	// NoPlayoutDelay takes the header extension, by which the gateway asks for no delay, out of the offer.
	NoPlayoutDelay bool
	// Width, Height and FPS of the pictures, the test pattern's if 0.
	Width, Height, FPS int
	Logger             *slog.Logger
}

// Result of a measurement. The latencies are from frame in to frame decoded, in milliseconds.
type Result struct {
	Added drive.Percentiles `json:"video_added_ms"`
	// ClockError is the bound of the error of each latency: half of the shortest round trip.
	ClockError float64 `json:"clock_error_ms"`
	Frames     int     `json:"frames"`
	Unreadable int     `json:"unreadable"` // pictures without a valid time code
	Missing    int     `json:"missing"`    // frames that were made and not decoded
	Shown      int     `json:"shown"`      // frames that the page presented
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	Codec      string  `json:"codec"`
	// The browser's own means.
	JitterBuffer float64 `json:"jitter_buffer_ms"`
	Decode       float64 `json:"decode_ms"`
	PLI          int     `json:"pli"`
	Browser      string  `json:"browser"`
}

// report is what the page posts.
type report struct {
	Result

	Decoded []float64 `json:"decoded_ms"`
	Error   string    `json:"error"`
}

//go:embed page.html
var page []byte

const camera = "press-01"

// Measure runs one measurement; it takes the duration and a few seconds.
func Measure(ctx context.Context, c Config) (Result, error) {
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	source, err := testpattern.NewSource(testpattern.Config{Name: camera, Width: c.Width, Height: c.Height, FPS: c.FPS})
	if err != nil {
		return Result{}, err
	}
	cams := video.NewCameras(video.Config{Logger: c.Logger})
	defer func() { _ = cams.Close() }()
	if err := cams.Add(source); err != nil {
		return Result{}, err
	}
	token := rand.Text()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Result{}, err
	}
	origin := "http://" + listener.Addr().String()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	server := whip.New(whip.Config{
		Cameras: cams, Settings: settings, Origins: []string{origin}, Logger: c.Logger,
		Authorize: func(_ context.Context, got string, action whip.Action, _ string) (time.Time, error) {
			if got != token || action != whip.View {
				return time.Time{}, whip.ErrUnauthorized
			}
			return time.Now().Add(c.Duration + time.Hour), nil
		},
	})
	defer func() { _ = server.Close() }()

	reports := make(chan report, 1)
	h := &http.Server{Handler: handler(server, reports), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = h.Serve(listener) // until it is closed
	}()
	defer func() {
		_ = h.Close()
		<-served
	}()
	query := url.Values{
		"seconds": {strconv.FormatFloat(c.Duration.Seconds(), 'f', -1, 64)}, "camera": {camera}, "token": {token},
	}
	if !c.Jitter {
		query.Set("jitter", "0")
	}
	if c.NoPlayoutDelay {
		query.Set("playout", "0")
	}
	return browse(ctx, c.Chromium, origin+"/?"+query.Encode(), reports)
}

func handler(server http.Handler, reports chan<- report) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/whep/", server)
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatFloat(float64(time.Now().UnixMicro())/1000, 'f', 3, 64))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		// Isolated pages have a finer clock.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("POST /result", func(w http.ResponseWriter, r *http.Request) {
		var got report
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			got.Error = "the page's result: " + err.Error()
		}
		select {
		case reports <- got:
		default:
		}
	})
	return mux
}

// browse runs Chromium on the page until it reports.
func browse(ctx context.Context, binary, address string, reports <-chan report) (Result, error) {
	dir, err := os.MkdirTemp("", "insighthub-glass-")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	//nolint:gosec // the path is the caller's
	browser := exec.CommandContext(ctx, binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
		"--allow-loopback-in-peer-connection", "--user-data-dir="+filepath.Join(dir, "profile"), address)
	log, err := os.Create(filepath.Join(dir, "log")) //nolint:gosec // a folder of our own
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = log.Close() }()
	browser.Stdout, browser.Stderr = log, log
	browser.Cancel = func() error { return browser.Process.Signal(os.Interrupt) }
	browser.WaitDelay = 10 * time.Second
	if err := browser.Start(); err != nil {
		return Result{}, fmt.Errorf("start Chromium: %w", err)
	}
	exited := make(chan struct{})
	var ended error
	go func() {
		defer close(exited)
		ended = browser.Wait()
	}()
	var got report
	select {
	case got = <-reports:
		cancel()
		<-exited
	case <-exited:
		text, _ := os.ReadFile(log.Name())
		return Result{}, fmt.Errorf("the browser ended without a result: %w: %.2000s", errors.Join(ended, ctx.Err()), text)
	}
	if got.Error != "" {
		return got.Result, fmt.Errorf("page: %s", got.Error)
	}
	samples := make([]drive.Sample, 0, len(got.Decoded))
	for _, ms := range got.Decoded {
		samples = append(samples, drive.Sample{Latency: time.Duration(ms * float64(time.Millisecond)), Weight: 1})
	}
	got.Added = drive.PercentilesOf(samples)
	return got.Result, nil
}
