package exportfile

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/insighthub/insighthub/lib/readings"
)

const (
	// rowGroup is the number of rows that are buffered before they are written.
	rowGroup = 100_000
	// pageVersion is the version of data pages that every reader knows. With version 2, the
	// library's default, some refuse zstd and the delta encodings.
	pageVersion = 1
)

// parquetRow is the file's schema: TIMESTAMP in microseconds, adjusted to UTC, as INT64;
// STRING; and DOUBLE that may be null. Texts repeat, so they are dictionary encoded; the rest
// is plain. With Snappy that is what every reader supports without an extension, Spark's
// vectorised one and hyparquet's core included; a delta encoding of the times would be
// smaller.
type parquetRow struct {
	Device  string   `parquet:"device,dict"`
	Metric  string   `parquet:"metric,dict"`
	Unit    string   `parquet:"unit,dict"`
	Time    int64    `parquet:"time,timestamp(microsecond),plain"`
	Value   *float64 `parquet:"value,optional,plain"`
	Quality string   `parquet:"quality,dict"`
}

type parquetFile struct {
	writer *parquet.GenericWriter[parquetRow]
	rows   []parquetRow
}

func newParquet(to io.Writer) *parquetFile {
	return &parquetFile{writer: parquet.NewGenericWriter[parquetRow](to,
		parquet.Compression(&snappy.Codec{}), parquet.DataPageVersion(pageVersion),
		parquet.MaxRowsPerRowGroup(rowGroup), parquet.CreatedBy("insighthub", "1", ""),
	)}
}

// Write implements Writer.
func (p *parquetFile) Write(b *readings.Block) error {
	p.rows = p.rows[:0]
	device, metric := string(b.Device), string(b.Metric)
	for i, at := range b.Times {
		value := &b.Values[i]
		if missing(*value) {
			value = nil // readers count a NaN differently
		}
		p.rows = append(p.rows, parquetRow{device, metric, b.Unit, int64(at), value, b.Quality[i].String()})
	}
	_, err := p.writer.Write(p.rows)
	return err
}

// Close implements Writer.
func (p *parquetFile) Close() error { return p.writer.Close() }
