package exportfile_test

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/insighthub/insighthub/lib/exportfile"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// parquetRows reads a file. The times are read as numbers: the library's time.Time wraps in
// 2262.
func parquetRows(t *testing.T, raw []byte) (rows []row) {
	t.Helper()
	type stored struct {
		Device  string   `parquet:"device"`
		Metric  string   `parquet:"metric"`
		Unit    string   `parquet:"unit"`
		Time    int64    `parquet:"time,timestamp(microsecond)"`
		Value   *float64 `parquet:"value,optional"`
		Quality string   `parquet:"quality"`
	}
	got, err := parquet.Read[stored](bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		var value string
		if r.Value != nil {
			value = strconv.FormatFloat(*r.Value, 'g', -1, 64)
		}
		at := telemetry.Micros(r.Time).Time().UTC().Format(layout)
		rows = append(rows, row{r.Device, r.Metric, r.Unit, at, value, r.Quality})
	}
	return rows
}

func open(t *testing.T, raw []byte) *parquet.File {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestParquetForEveryReader pins what decides who can read the file: the types of the
// columns, the codec, the encodings and the version of the pages.
func TestParquetForEveryReader(t *testing.T) {
	t.Parallel()
	values := make([]float64, 30_000)
	for i := range values {
		values[i] = math.Sin(float64(i))
		if i%3 == 2 {
			values[i] = math.NaN()
		}
	}
	raw := file(t, exportfile.Parquet, block("press", "t", "Cel", values...), block("b", "m", "", values...))
	meta := open(t, raw).Metadata()
	columns := map[string]struct {
		kind     format.Type
		optional bool
		logical  string
	}{
		"device":  {format.ByteArray, false, "STRING"},
		"metric":  {format.ByteArray, false, "STRING"},
		"unit":    {format.ByteArray, false, "STRING"},
		"time":    {format.Int64, false, "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)"},
		"value":   {format.Double, true, ""},
		"quality": {format.ByteArray, false, "STRING"},
	}
	if len(meta.Schema) != 1+len(columns) {
		t.Fatalf("got %d elements of the schema, want %d", len(meta.Schema), 1+len(columns))
	}
	for _, e := range meta.Schema[1:] {
		want, logical := columns[e.Name], e.LogicalType.String()
		if e.Type.V != want.kind || logical != want.logical || (e.RepetitionType.V == format.Optional) != want.optional {
			t.Errorf("column %s: got %v %v %s, want %+v", e.Name, e.Type, e.RepetitionType, logical, want)
		}
	}
	for _, group := range meta.RowGroups {
		for _, column := range group.Columns {
			m := column.MetaData
			if m.Codec != format.Snappy {
				t.Errorf("%v: got the codec %v, want Snappy", m.PathInSchema, m.Codec)
			}
			for _, encoding := range m.Encoding {
				if !slices.Contains([]format.Encoding{format.Plain, format.RLE, format.RLEDictionary}, encoding) {
					t.Errorf("%v: got the encoding %v", m.PathInSchema, encoding)
				}
			}
			if m.Statistics.NullCount != map[bool]int64{true: 20_000}[m.PathInSchema[0] == "value"] {
				t.Errorf("%v: got %d nulls", m.PathInSchema, m.Statistics.NullCount)
			}
		}
	}
	pages := 0
	for _, index := range open(t, raw).OffsetIndexes() {
		for _, page := range index.PageLocations {
			pages++
			// PageHeader's first field is type, an i32 as zigzag: DATA_PAGE is 0, DATA_PAGE_V2 is 3.
			if header := raw[page.Offset : page.Offset+2]; !bytes.Equal(header, []byte{0x15, 0}) {
				t.Errorf("got a page whose header begins with % x, want a DATA_PAGE", header)
			}
		}
	}
	if pages < len(columns) {
		t.Errorf("got %d pages, want at least one of each column", pages)
	}
}

// TestParquetRowGroups: more than one row group, and none.
func TestParquetRowGroups(t *testing.T) {
	t.Parallel()
	raw := file(t, exportfile.Parquet, block("a", "m", "", make([]float64, 150_000)...), block("b", "m", "", make([]float64, 100_001)...))
	f := open(t, raw)
	var sizes []int64
	for _, group := range f.RowGroups() {
		sizes = append(sizes, group.NumRows())
	}
	if diff := cmp.Diff([]int64{100_000, 100_000, 50_001}, sizes); diff != "" {
		t.Errorf("row groups differ (-want +got):\n%s", diff)
	}
	if rows := parquetRows(t, raw); len(rows) != 250_001 || rows[150_000].Device != "b" || rows[250_000].Time <= rows[150_000].Time {
		t.Errorf("got %d rows", len(rows))
	}
	raw = file(t, exportfile.Parquet)
	if rows := parquetRows(t, raw); len(rows) != 0 || len(open(t, raw).Root().Columns()) != 6 {
		t.Errorf("without rows: got %v", rows)
	}
}

// TestParquetLastYear: times beyond 2262, which nanoseconds cannot hold.
func TestParquetLastYear(t *testing.T) {
	t.Parallel()
	b := block("d", "m", "", 1)
	b.Times[0] = telemetry.MicrosOf(time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC))
	if rows := parquetRows(t, file(t, exportfile.Parquet, b)); rows[0].Time != "9999-12-31T23:59:59.999999Z" {
		t.Errorf("got %+v", rows)
	}
}
