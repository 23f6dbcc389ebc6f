package remotewrite_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/insighthub/insighthub/lib/prometheus/remotewrite"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func TestConcurrentWritesAreSerialized(t *testing.T) {
	r := newReceiver(t)
	r.supports2 = true
	c := newClient(t, r.URL)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			series := gauges(50, 1000)
			for j := range series {
				series[j].Labels[0].Value = string(rune('a' + i))
			}
			if got, err := c.Write(t.Context(), series); err != nil || got.Samples != 50 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if r.total() != 400 {
		t.Errorf("%d samples", r.total())
	}
}

func TestWriteEndsWithItsContext(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	c := newClient(t, "http://127.0.0.1/", func(cfg *remotewrite.Config) {
		cfg.HTTP = doer(func(r *http.Request) (*http.Response, error) {
			close(held)
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return nil, errors.Join(errors.New("gone"), r.Context().Err())
		})
	})
	first, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Write(first, gauges(1, 1))
		ended <- err
	}()
	<-held
	second, cancelSecond := context.WithCancel(t.Context())
	cancelSecond()
	if _, err := c.Write(second, gauges(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that waits for its turn: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, telemetry.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	close(release)
}

// A transport may still read the body of a request after the response.
func TestBodyIsDetachedAfterTheResponse(t *testing.T) {
	var kept io.Reader
	c := newClient(t, "http://127.0.0.1/", func(cfg *remotewrite.Config) {
		cfg.Protocol, cfg.MaxAttempts = remotewrite.V1, 1
		cfg.HTTP = doer(func(r *http.Request) (*http.Response, error) {
			kept = r.Body
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
		})
	})
	if _, err := c.Write(t.Context(), gauges(1, 1)); !errors.Is(err, telemetry.ErrUnavailable) {
		t.Fatal(err)
	}
	if n, err := kept.Read(make([]byte, 8)); n != 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes of a buffer that is another request's by now, %v", n, err)
	}
}
