package timescale

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// randomBatches have few identities, so that many are equal.
func randomBatches(r *rand.Rand, batches, events, devices, metrics, times, values int) []*telemetry.Batch {
	out := make([]*telemetry.Batch, batches)
	for i := range out {
		b := &telemetry.Batch{Gateway: telemetry.GatewayID(fmt.Sprintf("g-%d", r.IntN(2))), Site: "s", Received: noon}
		for range events {
			b.Append(telemetry.Event{
				Device:  telemetry.DeviceName(fmt.Sprintf("d-%d", r.IntN(devices))),
				Metric:  telemetry.MetricName(fmt.Sprintf("m-%d", r.IntN(metrics))),
				Time:    noon + telemetry.Micros(r.IntN(times)),
				Value:   float64(r.IntN(values)),
				Quality: telemetry.Quality(r.IntN(2)),
			})
		}
		out[i] = b
	}
	return out
}

// numberNames gives each name of the batches an id, as the database would.
func numberNames(batches []*telemetry.Batch) []ids {
	known := map[string]int32{}
	number := func(kind string, b *telemetry.Batch, name string) int32 {
		key := kind + string(b.Gateway) + "/" + name
		if known[key] == 0 {
			known[key] = int32(1_000_000 - len(known))
		}
		return known[key]
	}
	out := make([]ids, len(batches))
	for i, b := range batches {
		for _, name := range b.Devices {
			out[i].device = append(out[i].device, number("d", b, string(name)))
		}
		for _, name := range b.Metrics {
			out[i].metric = append(out[i].metric, number("m", b, string(name)))
		}
	}
	return out
}

// naive is the simple form of fill.
func naive(batches []*telemetry.Batch, resolved []ids) (rows, conflicting []row, duplicates int) {
	var all []row
	for i, b := range batches {
		for e := range b.Time {
			all = append(all, row{
				seriesKey(resolved[i].device[b.Device[e]], resolved[i].metric[b.Metric[e]]), b.Time[e], b.Value[e],
				b.Quality[e],
			})
		}
	}
	slices.SortStableFunc(all, func(a, b row) int { return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.time, b.time)) })
	for _, r := range all {
		switch last := len(rows) - 1; {
		case last < 0 || !rows[last].sameIdentity(r):
			rows = append(rows, r)
		case rows[last].sameReading(r):
			duplicates++
		default:
			conflicting = append(conflicting, r)
		}
	}
	return rows, conflicting, duplicates
}

func TestTableMatchesStableSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	compare := gocmp.AllowUnexported(row{})
	var tab table // reused, as the writer does
	for round := range 300 {
		batches := randomBatches(r, r.IntN(5), 1+r.IntN(60), 1+r.IntN(8), 1+r.IntN(8), 1+r.IntN(30), 1+r.IntN(3))
		if round%10 == 0 { // too many pairs for the dense slice
			batches = append(batches, randomBatches(r, 1, 2000, 2000, 2000, 5, 2)...)
		}
		resolved := numberNames(batches)
		tab.fill(batches, resolved)
		rows, conflicting, duplicates := naive(batches, resolved)
		if diff := gocmp.Diff(rows, slices.Clip(append([]row(nil), tab.rows...)), compare); diff != "" {
			t.Fatalf("round %d: rows differ (-want +got):\n%s", round, diff)
		}
		if diff := gocmp.Diff(conflicting, append([]row(nil), tab.conflicting...), compare); diff != "" {
			t.Fatalf("round %d: conflicting differ (-want +got):\n%s", round, diff)
		}
		if duplicates != tab.duplicates {
			t.Fatalf("round %d: %d duplicates, want %d", round, tab.duplicates, duplicates)
		}
	}
}

func TestTableFillDoesNotAllocate(t *testing.T) {
	batches := []*telemetry.Batch{grid("g", 10, 10, 10, noon), grid("g", 10, 10, 10, noon+10_000_000)}
	resolved := numberNames(batches)
	var tab table
	if got := testing.AllocsPerRun(10, func() { tab.fill(batches, resolved) }); got != 0 {
		t.Errorf("%v allocations, want none once warm", got)
	}
}

func TestCopyReaderFormat(t *testing.T) {
	rows := []row{
		{seriesKey(1, 2), postgresEpoch, 1, telemetry.Good},
		{seriesKey(math.MaxInt32, 3), postgresEpoch - 1, -0.5, telemetry.Bad},
	}
	var want bytes.Buffer
	want.WriteString("PGCOPY\n\xff\r\n\x00")
	for _, field := range []any{
		int32(0), int32(0),
		int16(5), int32(4), int32(1), int32(4), int32(2), int32(8), int64(0), int32(8), 1.0, int32(2), int16(0),
		int16(5), int32(4), int32(math.MaxInt32), int32(4), int32(3), int32(8), int64(-1), int32(8), -0.5, int32(2), int16(2),
		int16(-1),
	} {
		if err := binary.Write(&want, binary.BigEndian, field); err != nil {
			t.Fatal(err)
		}
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":         func(r io.Reader) io.Reader { return r },
		"byte by byte":  iotest.OneByteReader,
		"half":          iotest.HalfReader,
		"uneven pieces": func(r io.Reader) io.Reader { return unevenReader{r} },
	} {
		got, err := io.ReadAll(wrap(&copyReader{rows: rows}))
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s: %x, %v\nwant %x", name, got, err, want.Bytes())
		}
	}
}

type unevenReader struct{ r io.Reader }

func (u unevenReader) Read(p []byte) (int, error) { return u.r.Read(p[:min(len(p), 71)]) }

func TestCopyReaderLengths(t *testing.T) {
	for _, n := range []int{0, 1, 10, 1364, 1365, 1366, 5000} {
		got, err := io.ReadAll(&copyReader{rows: make([]row, n)})
		if want := len(copyHeader) + n*copyRowBytes + len(copyTrailer); err != nil || len(got) != want {
			t.Errorf("%d rows: %d bytes, %v, want %d", n, len(got), err, want)
		}
	}
	if err := iotest.TestReader(&copyReader{}, []byte(copyHeader+copyTrailer)); err != nil {
		t.Error(err)
	}
}
