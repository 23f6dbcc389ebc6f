package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/parquet-go/parquet-go"

	locals3 "github.com/insighthub/insighthub/cdk/local/s3"
	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/aws/s3"
	"github.com/insighthub/insighthub/lib/exportfile"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// exportBucket returns a bucket of the S3 emulator.
func exportBucket(t *testing.T) files {
	t.Helper()
	objects, err := locals3.New(locals3.Config{Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if err := objects.CreateBucket("exports"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(objects.Handler())
	t.Cleanup(func() {
		server.Close()
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	})
	store, err := s3.New(s3.Config{AWS: aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}, Bucket: "exports", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	return files{store}
}

type export struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
	Rows      int       `json:"rows"`
	Bytes     int       `json:"bytes"`
	Format    string    `json:"format"`
}

// download reads a file without a token, and checks that a browser saves it under a name with
// the format's extension.
func download(t *testing.T, address string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("status %d, %v", response.StatusCode, err)
	}
	disposition, kind := response.Header.Get("Content-Disposition"), response.Header.Get("Content-Type")
	name := regexp.MustCompile(`^attachment; filename="readings-\d{8}-\d{6}\.(csv|ndjson|parquet)"$`).FindStringSubmatch(disposition)
	if name == nil || kind != exportfile.Format(name[1]).ContentType() {
		t.Errorf("got a file of the type %q, %s", kind, disposition)
	}
	return body
}

func TestExports(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	p.send(t, "plant-1", "gw-1",
		event("=a", "m", at, 1), event("=a", "m", at+second, 0.1),
		event("b", "m", at, 3), event("b", "n", at, 4), event("b", "m", at+10*second, 5))
	viewer := apitest.Person("eve", "plant-1=viewer")
	create := func(more, format string) (e export, body []byte) {
		t.Helper()
		request := fmt.Sprintf(`{"gateway":"gw-1",%s"from":%q,"to":%d,"format":%q}`,
			more, at.Time().Format(time.RFC3339), at+10*second, format)
		before := time.Now().Truncate(time.Second)
		p.Do(t, viewer, "POST", "/v1/sites/plant-1/exports", request).Want(t, 201).Decode(t, &e)
		after := time.Now()
		body = download(t, e.URL)
		const lifetime = 15 * time.Minute
		if e.Bytes != len(body) || e.Format != format ||
			e.ExpiresAt.Before(before.Add(lifetime)) || e.ExpiresAt.After(after.Add(lifetime)) {
			t.Errorf("got %+v and %d bytes for a request between %v and %v", e, len(body), before, after)
		}
		if !regexp.MustCompile(`/exports/exports/plant-1/[a-z2-7]{32}\.` + format + `\?`).MatchString(e.URL) {
			t.Errorf("got address %s", e.URL)
		}
		return e, body
	}
	e, body := create("", "csv")
	const fraction = "2006-01-02T15:04:05.000000Z"
	begin := at.Time().UTC().Format(fraction)
	want := "device,metric,unit,time,value,quality\r\n" +
		"=a,m,," + begin + ",1,good\r\n" +
		"=a,m,," + (at + second).Time().UTC().Format(fraction) + ",0.1,good\r\n" +
		"b,m,," + begin + ",3,good\r\n" +
		"b,n,," + begin + ",4,good\r\n"
	if string(body) != want || e.Rows != 4 {
		t.Errorf("got %d rows:\n%s", e.Rows, body)
	}
	want = `{"device":"b","metric":"n","unit":"","time":"` + begin + `","value":4,"quality":"good"}` + "\n"
	if e, body := create(`"device":"b","metric":"n",`, "ndjson"); e.Rows != 1 || string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	_, body = create(`"device":"b",`, "parquet")
	type row struct {
		Device string  `parquet:"device"`
		Value  float64 `parquet:"value"`
	}
	if rows, err := parquet.Read[row](bytes.NewReader(body), int64(len(body))); err != nil || len(rows) != 2 || rows[1] != (row{"b", 4}) {
		t.Errorf("got %+v, %v", rows, err)
	}
	for _, dialect := range []string{"excel", "excel-point"} {
		_, body = create(`"device":"=a","dialect":"`+dialect+`",`, "csv")
		want := "\ufeffdevice,metric,unit,time,value,quality\r\n" +
			"'=a,m,," + at.Time().UTC().Format("2006-01-02 15:04:05.000") + ",1,good\r\n" +
			"'=a,m,," + (at + second).Time().UTC().Format("2006-01-02 15:04:05.000") + ",0.1,good\r\n"
		if dialect == "excel" {
			want = strings.ReplaceAll(strings.ReplaceAll(want, ",", ";"), ".", ",")
		}
		if string(body) != want {
			t.Errorf("%s: got %q, want %q", dialect, body, want)
		}
	}
	for format, want := range map[string]string{"csv": "device,metric,unit,time,value,quality\r\n", "ndjson": "", "parquet": "PAR1"} {
		e, body := create(`"device":"none",`, format)
		if e.Rows != 0 || !bytes.HasPrefix(body, []byte(want)) || (want == "") != (len(body) == 0) {
			t.Errorf("%s without rows: got %+v, %q", format, e, body)
		}
	}
	// A repetition with the same key returns the same file, with an address that is made for it:
	// that of the first response expires long before the key.
	request := fmt.Sprintf(`{"gateway":"gw-1","from":%d,"to":%d,"format":"csv"}`, at, at+1)
	first := p.Do(t, viewer, "POST", "/v1/sites/plant-1/exports", request, "Idempotency-Key", "k").Want(t, 201)
	replay := p.Do(t, viewer, "POST", "/v1/sites/plant-1/exports", request, "Idempotency-Key", "k").Want(t, 201)
	a, _, _ := strings.Cut(first.Member(t, "url"), "?")
	b, _, _ := strings.Cut(replay.Member(t, "url"), "?")
	if a != b || replay.Member(t, "rows") != first.Member(t, "rows") || replay.Headers["idempotency-replayed"] != "true" {
		t.Errorf("got %s, want the file of %s", replay.Body, first.Body)
	}
	if stored := timescaletest.Value(t, p.DSN, "SELECT convert_from(body, 'UTF8') FROM idempotency"); strings.Contains(stored, "X-Amz-") {
		t.Errorf("the key has stored %s, want no address", stored)
	}
	if got := p.Trail(t); got["export.create"] != 9 || got["export.address"] != 1 {
		t.Errorf("trail %v", got)
	}
	const query = "SELECT string_agg(DISTINCT actor || ' ' || site || ' ' || object, ',') FROM " + timescaletest.Trail +
		" WHERE action = 'export.create'"
	if got, want := timescaletest.Value(t, p.DSN, query), "eve plant-1 sites/plant-1/gateways/gw-1"; got != want {
		t.Errorf("audit trail: got %s, want %s", got, want)
	}
}

// TestExportOfBadReadings: a reading without a value has none in any format, and its quality.
func TestExportOfBadReadings(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	p.send(t, "plant-1", "gw-1", event("d", "m", at, 1.5))
	timescaletest.Exec(t, p.DSN, "INSERT INTO event SELECT time + interval '1 s', device_id, metric_id, 'NaN', 2 FROM event")
	begin, next := at.Time().UTC().Format("2006-01-02T15:04:05.000000Z"), (at + second).Time().UTC().Format("2006-01-02T15:04:05.000000Z")
	for format, want := range map[string]string{
		"csv": "device,metric,unit,time,value,quality\r\nd,m,," + begin + ",1.5,good\r\nd,m,," + next + ",,bad\r\n",
		"ndjson": `{"device":"d","metric":"m","unit":"","time":"` + begin + `","value":1.5,"quality":"good"}` + "\n" +
			`{"device":"d","metric":"m","unit":"","time":"` + next + `","value":null,"quality":"bad"}` + "\n",
		"parquet": "1.5 good, null bad",
	} {
		var e export
		request := fmt.Sprintf(`{"gateway":"gw-1","from":%d,"to":%d,"format":%q}`, at, at+2*second, format)
		p.Do(t, apitest.Person("eve", "plant-1=viewer"), "POST", "/v1/sites/plant-1/exports", request).Want(t, 201).Decode(t, &e)
		body := download(t, e.URL)
		if format == "parquet" {
			rows, err := parquet.Read[struct {
				Value   *float64 `parquet:"value,optional"`
				Quality string   `parquet:"quality"`
			}](bytes.NewReader(body), int64(len(body)))
			if err != nil || len(rows) != 2 || rows[0].Value == nil || *rows[0].Value != 1.5 ||
				rows[1].Value != nil || rows[1].Quality != "bad" {
				t.Errorf("parquet: got %+v, %v, want %s", rows, err, want)
			}
		} else if string(body) != want {
			t.Errorf("%s: got %q, want %q", format, body, want)
		}
	}
}

func TestExportsRejected(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	at := hour()
	p.site(t, "plant-1")
	p.site(t, "plant-2/../x y")
	p.send(t, "plant-1", "gw-1", event("d", "m", at, 1))
	p.send(t, "plant-2/../x y", "gw-2", event("d", "m", at, 1))
	for body, status := range map[string]int{
		`{}`: 422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"xlsx"}`:                            422,
		`{"gateway":"gw-1","from":2,"to":2,"format":"csv"}`:                             422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"csv","dialect":"lotus"}`:           422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"parquet","dialect":"excel"}`:       422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"csv","dialect":"plain"}`:           201,
		`{"gateway":"","from":1,"to":2,"format":"csv"}`:                                 422,
		`{"gateway":"gw-1","device":"a\u0000","from":1,"to":2,"format":"csv"}`:          422,
		`{"gateway":"gw-1","from":-1,"to":2,"format":"csv"}`:                            400,
		`{"gateway":"gw-1","from":1,"to":9223372036854775808,"format":"csv"}`:           400,
		`{"gateway":"gw-1","from":"x","to":2,"format":"csv"}`:                           400,
		`{"gateway":"gw-1","from":null,"to":2,"format":"csv"}`:                          400,
		`{"gateway":"gw-1","from":1,"to":2,"format":"csv","site":"plant-2"}`:            400,
		`{"gateway":"gw-1","from":1,"to":2,"format":"csv","key":"../../secret"}`:        400,
		`{"gateway":"none","from":1,"to":2,"format":"csv"}`:                             404,
		`{"gateway":"gw-2","from":1,"to":2,"format":"csv"}`:                             404, // another site's
		`{"gateway":"gw-1' OR '1'='1","from":1,"to":2,"format":"csv"}`:                  404,
		`{"gateway":"gw-1","device":"' OR '1'='1","from":1,"to":2,"format":"csv"}`:      201, // it is empty
		`{"gateway":"gw-1","from":"2026-01-01T00:00:00+02:00","to":2,"format":"csv"}`:   422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"../../etc/passwd"}`:                422,
		`{"gateway":"gw-1","from":1,"to":2,"format":"csv","format":"../../etc/passwd"}`: 400,
	} {
		p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/exports", body).Want(t, status)
	}
	good := `{"gateway":"gw-1","from":1,"to":2,"format":"csv"}`
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/exports?gateway=gw-2", good).Want(t, 400)
	p.Do(t, apitest.Person("eve", "plant-2=admin"), "POST", "/v1/sites/plant-1/exports", good).Want(t, 404)
	// A site's name cannot leave its prefix.
	var e export
	other := strings.Replace(good, "gw-1", "gw-2", 1)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-2%2F..%2Fx%20y/exports", other).Want(t, 201).Decode(t, &e)
	if !regexp.MustCompile(`/exports/exports/_[A-Z2-7]+/[a-z2-7]{32}\.csv\?`).MatchString(e.URL) {
		t.Errorf("got address %s", e.URL)
	}
	// The roll-up of minutes shows, without reading the events, that there are too many.
	timescaletest.Exec(t, p.DSN, `INSERT INTO event_minute
		SELECT device_id, metric_id, '2026-01-01', 0, 5000001, 0, 0, 0, '2026-01-01', 0, '2026-01-01', 0
		FROM series JOIN device ON device.id = device_id JOIN gateway ON gateway.id = gateway_id WHERE gateway.name = 'gw-1'`)
	tooMany := fmt.Sprintf(`{"gateway":"gw-1","from":0,"to":%d,"format":"csv"}`, at)
	a := p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/exports", tooMany).Want(t, 422)
	if !strings.Contains(a.Body, "Select a device") {
		t.Errorf("got %s", a.Body)
	}
}

// TestExportOfAMillion exports a million events and checks the largest heap meanwhile.
func TestExportOfAMillion(t *testing.T) {
	p := newPlatform(t)
	p.site(t, "plant-1")
	for i := range 4 {
		p.send(t, "plant-1", "gw-1", event(fmt.Sprint("d-", i), "m", hour(), 0))
	}
	timescaletest.Exec(t, p.DSN, `INSERT INTO event SELECT timestamptz '2026-11-01' + n * interval '1 s', device_id, metric_id, sin(n), 0
		FROM series, generate_series(1, 250000) n`)
	var peak atomic.Int64
	stop, ended := make(chan struct{}), make(chan struct{})
	runtime.GC()
	before := heapInUse()
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				peak.Store(max(peak.Load(), heapInUse()-before))
			}
		}
	}()
	start := time.Now()
	sink := &discard{}
	request := readingsSelection(telemetry.MicrosOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)))
	err := p.Pool.Export(t.Context(), request, sink.write(t))
	took := time.Since(start)
	close(stop)
	<-ended
	t.Logf("%d rows, %d bytes of Parquet in %v, at most %.1f MiB of heap",
		sink.rows, sink.bytes, took.Round(time.Millisecond), float64(peak.Load())/(1<<20))
	if err != nil || sink.rows != 1_000_000 {
		t.Errorf("got %d rows, %v, want 1000000", sink.rows, err)
	}
	if peak.Load() > 64<<20 {
		t.Errorf("got %d bytes of heap, want at most 64 MiB", peak.Load())
	}
	// The same through the handler and the bucket.
	var e export
	const all = `{"gateway":"gw-1","from":"2026-11-01T00:00:00Z","to":"2026-11-04T00:00:00Z","format":"csv"}`
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/exports", all).Want(t, 201).Decode(t, &e)
	rows := 0
	reader := csv.NewReader(bufio.NewReader(bytes.NewReader(download(t, e.URL))))
	for reader.ReuseRecord = true; ; rows++ {
		if _, err := reader.Read(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if rows-1 != 1_000_000 || e.Rows != rows-1 {
		t.Errorf("got %d rows in the file and %d in the response, want 1000000", rows-1, e.Rows)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func readingsSelection(from telemetry.Micros) readings.Selection {
	return readings.Selection{Site: "plant-1", Gateway: "gw-1", Range: readings.Range{From: from, To: from + 250_001*second}}
}

// discard is a Parquet file that only counts what is written.
type discard struct{ rows, bytes int }

// Write implements io.Writer.
func (c *discard) Write(p []byte) (int, error) {
	c.bytes += len(p)
	return len(p), nil
}

func (c *discard) write(t *testing.T) func(*readings.Block) error {
	t.Helper()
	w, err := exportfile.New(c, exportfile.Parquet)
	if err != nil {
		t.Fatal(err)
	}
	return func(b *readings.Block) error {
		c.rows += len(b.Times)
		return w.Write(b)
	}
}
