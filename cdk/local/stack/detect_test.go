package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/cdk/grafana"
	"github.com/insighthub/insighthub/lib/anomaly"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest/pgtest"
)

// finding is an anomaly's identity, as far as the test's series go.
type finding struct {
	gateway, metric string
	micros          int64
}

// watched is a gateway whose machine runs in noise, with a spike and then a shift of
// its level, and what one detector for each of its series finds in that.
type watched struct {
	gateway
	device    string
	random    *rand.Rand
	start     time.Time
	sent      int // samples of each series
	lift      float64
	detectors map[string]*anomaly.Detector
	want      map[finding]float64 // scores
}

const (
	watchedDevice = "pump-1"
	watchedEvery  = 100 * time.Millisecond
	spikeAt       = 600
	shiftAt       = 900
	leastSamples  = 1200
)

func newWatched(t *testing.T, s *Stack, name, device string, seed uint64, start time.Time) *watched {
	t.Helper()
	return &watched{
		gateway: newGateway(t, s, name), device: device, random: rand.New(rand.NewPCG(seed, 5)), start: start.Truncate(time.Second),
		detectors: map[string]*anomaly.Detector{"pressure": {}, "current": {}}, want: make(map[finding]float64),
	}
}

func (w *watched) at(sample int) time.Time {
	return w.start.Add(time.Duration(sample) * watchedEvery)
}

// batch is the next samples of both series.
func (w *watched) batch(samples int) []byte {
	type event struct {
		Device string  `json:"device"`
		Metric string  `json:"metric"`
		Time   int64   `json:"time"`
		Value  float64 `json:"value"`
	}
	var events []event
	for range samples {
		micros := w.at(w.sent).UnixMicro()
		for _, metric := range []string{"pressure", "current"} {
			value := math.Round(1000*(20+w.random.Float64()))/1000 + w.lift
			switch {
			case w.sent == spikeAt:
				value += 30
			case w.sent >= shiftAt:
				value += 60
			}
			events = append(events, event{w.device, metric, micros, value})
			if score, anomalous := w.detectors[metric].Push(micros, value); anomalous {
				w.want[finding{w.name, metric, micros}] = score
			}
		}
		w.sent++
	}
	raw, _ := json.Marshal(map[string]any{"events": events}) // numbers and names only
	return raw
}

func (w *watched) post(t *testing.T, s *Stack, samples int) {
	t.Helper()
	if err := w.gateway.post(t.Context(), s.Info().HTTP, w.batch(samples)); err != nil {
		t.Error(err)
	}
}

// What a machine does for the first time becomes an anomaly: once in the database, in
// the API's list and in Prometheus, and at least once on the bus; the same as one detector for each series finds,
// though the function's processes are killed again and again in the middle of it.
func TestAnomaliesAreThoseOfOneDetector(t *testing.T) {
	t.Parallel()
	cfg := Config{State: t.TempDir(), Database: pgtest.NewDatabase(t), Functions: build(t).functions, Assembly: measuredAssembly(t)}
	serveAPI(t, cfg.Assembly)
	s := startTest(t, cfg)
	// Prometheus takes nothing that is an hour older than the newest it has.
	var gateways []*watched
	for i := range uint64(3) {
		gateways = append(gateways, newWatched(t, s, fmt.Sprint("odd-", i), watchedDevice, i, time.Now().Add(-20*time.Minute)))
	}

	killed, stop := killDetect(t, s)
	for giveUp := time.Now().Add(2 * time.Minute); gateways[0].sent < leastSamples || killed.Load() < 5 && time.Now().Before(giveUp); {
		var all sync.WaitGroup
		for _, w := range gateways {
			all.Go(func() { w.post(t, s, 25) })
		}
		all.Wait()
		time.Sleep(30 * time.Millisecond)
	}
	stop()
	if killed.Load() < 5 {
		t.Fatalf("killed %d processes: too few to test anything", killed.Load())
	}
	want := make(map[finding]float64)
	for _, w := range gateways {
		w.post(t, s, 1)
		maps.Copy(want, w.want)
		for _, metric := range []string{"pressure", "current"} {
			for _, sample := range []int{spikeAt, shiftAt} {
				if w.want[finding{w.name, metric, w.at(sample).UnixMicro()}] == 0 {
					t.Errorf("%s %s: nothing at sample %d", w.name, metric, sample)
				}
			}
		}
	}
	eventually.True(t, "an idle stream", s.Idle)
	t.Logf("%d samples a series, %d anomalies, %d processes killed, lag %d", gateways[0].sent, len(want), killed.Load(), s.Lag())

	sameFindings(t, "the database", want, inDatabase(t, cfg.Database))
	sameFindings(t, "the API", want, inList(t, s, gateways))
	sameFindings(t, "the bus", want, onBus(t, cfg))
	sameFindings(t, "Prometheus", want, inPrometheus(t, s))
	counted(t, s, gateways[0])
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// killDetect kills the function's processes while they have something to do.
func killDetect(t *testing.T, s *Stack) (killed *atomic.Int64, stop func()) {
	t.Helper()
	killed = new(atomic.Int64)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(170 * time.Millisecond):
			}
			if s.Lag() == 0 {
				continue
			}
			for _, pid := range program(t, s, "detect").Stats().PIDs {
				if syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed.Add(1)
				}
			}
		}
	}()
	return killed, func() {
		close(end)
		<-ended
	}
}

func sameFindings(t *testing.T, where string, want, got map[finding]float64) {
	t.Helper()
	for f, score := range want {
		if found, ok := got[f]; !ok || found != score {
			t.Errorf("%s: %+v has the score %v (%v), want %v", where, f, found, ok, score)
		}
	}
	for f := range got {
		if _, ok := want[f]; !ok {
			t.Errorf("%s: %+v is no anomaly", where, f)
		}
	}
}

// inDatabase reads what the table of anomalies holds.
func inDatabase(t *testing.T, dsn string) map[finding]float64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT g.name, m.name, (extract(epoch FROM a.time) * 1000000)::bigint, a.score, a.kind, d.name
		FROM anomaly a JOIN device d ON d.id = a.device_id JOIN metric m ON m.id = a.metric_id JOIN gateway g ON g.id = d.gateway_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := make(map[finding]float64)
	for rows.Next() {
		var f finding
		var score float64
		var kind, device string
		if err := rows.Scan(&f.gateway, &f.metric, &f.micros, &score, &kind, &device); err != nil {
			t.Fatal(err)
		}
		if _, twice := got[f]; twice || kind != "score" || device != watchedDevice {
			t.Errorf("%+v of %s, kind %s, twice %v", f, device, kind, twice)
		}
		got[f] = score
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// logIn returns an access token of the first account.
func logIn(t *testing.T, s *Stack) string {
	t.Helper()
	credentials, _ := json.Marshal(map[string]string{"name": s.Info().AdminName, "password": s.Info().AdminPassword}) // strings only
	var login struct {
		Token string `json:"access_token"`
	}
	call(t, http.MethodPost, s.Info().HTTP+"/v1/login", "", credentials, &login)
	if login.Token == "" {
		t.Fatal("logged in without a token")
	}
	return login.Token
}

// inList reads the API's lists, page by page.
func inList(t *testing.T, s *Stack, gateways []*watched) map[finding]float64 {
	t.Helper()
	token := logIn(t, s)
	got := make(map[finding]float64)
	for _, w := range gateways {
		for cursor := ""; ; {
			var page struct {
				Items []struct {
					Gateway, Metric, Kind string
					Time                  time.Time
					Score                 float64
				}
				Next string `json:"next_cursor"`
			}
			form := url.Values{"gateway": {w.name}, "limit": {"5"}}
			if cursor != "" {
				form.Set("cursor", cursor)
			}
			call(t, http.MethodGet, s.Info().HTTP+"/v1/sites/plant-1/anomalies?"+form.Encode(), token, nil, &page)
			for _, a := range page.Items {
				got[finding{a.Gateway, a.Metric, a.Time.UnixMicro()}] = a.Score
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
	}
	return got
}

func call(t *testing.T, method, address, bearer string, body []byte, into any) {
	t.Helper()
	status, response := request(t, method, address, bearer, body)
	if err := json.Unmarshal(response, into); err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: %d %s (%v)", method, address, status, response, err)
	}
}

func request(t *testing.T, method, address, bearer string, body []byte) (status int, response []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if response, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, response
}

// onBus reads the bus's log. An anomaly that was published twice has the same id both times.
func onBus(t *testing.T, cfg Config) map[finding]float64 {
	t.Helper()
	got, ids, lines := make(map[finding]float64), make(map[finding]string), 0
	for line := range bytes.Lines(logOf(t, cfg, "events")) {
		var event struct {
			Source string
			Type   string `json:"detail-type"`
			Detail struct {
				ID, Gateway, Metric, Kind string
				Time                      time.Time
				Score                     float64
			}
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines++
		d := event.Detail
		f := finding{d.Gateway, d.Metric, d.Time.UnixMicro()}
		if before, twice := ids[f]; twice && before != d.ID || event.Source != "insighthub.detect" || event.Type != "anomaly" ||
			d.Kind != "score" {
			t.Errorf("%s", line)
		}
		got[f], ids[f] = d.Score, d.ID
	}
	t.Logf("%d events on the bus, of %d anomalies", lines, len(got))
	return got
}

func logOf(t *testing.T, cfg Config, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(cfg.State, "logs", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// inPrometheus reads the scores.
func inPrometheus(t *testing.T, s *Stack) map[finding]float64 {
	t.Helper()
	all, err := query(t.Context(), s.Info().Prometheus, "insighthub_anomaly_score[1h]")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[finding]float64)
	for _, one := range all {
		if l := one.labels; l["site"] != "plant-1" || l["device"] != watchedDevice || l["kind"] != "score" {
			t.Errorf("a score of %v", l)
		}
		for millis, text := range one.samples {
			score, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			got[finding{one.labels["gateway"], one.labels["metric"], millis * 1000}] = score
		}
	}
	return got
}

// counted lifts a gateway's values higher and higher, until Prometheus has the counts of
// the function, which writes them with its invocations.
func counted(t *testing.T, s *Stack, w *watched) {
	t.Helper()
	for _, expr := range []string{
		`sum(last_over_time(insighthub_anomalies_total{kind="score", function="detect"}[1h])) > 0`,
		`sum(last_over_time(insighthub_detect_events_total{outcome="scored"}[1h])) > 0`,
	} {
		eventually.True(t, "a result of "+expr, func() bool {
			w.lift = 2*w.lift + 1000
			w.post(t, s, 1)
			time.Sleep(200 * time.Millisecond)
			return len(ask(t, s, grafana.Query{Expr: expr, Instant: true})) > 0
		})
	}
}
