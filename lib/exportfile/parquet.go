package exportfile

import (
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/insighthub/insighthub/lib/readings"
)

// rowGroup is the number of rows that are buffered before they are written.
const rowGroup = 100_000

// parquetRow is the file's schema. Texts repeat, so they are dictionary encoded; times of
// a series are close together, so they are delta encoded.
type parquetRow struct {
	Device  string  `parquet:"device,dict"`
	Metric  string  `parquet:"metric,dict"`
	Unit    string  `parquet:"unit,dict"`
	Time    int64   `parquet:"time,timestamp(microsecond),delta"`
	Value   float64 `parquet:"value"`
	Quality string  `parquet:"quality,dict"`
}

type parquetFile struct {
	writer *parquet.GenericWriter[parquetRow]
	rows   []parquetRow
}

func newParquet(to io.Writer) *parquetFile {
	return &parquetFile{writer: parquet.NewGenericWriter[parquetRow](to,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		parquet.MaxRowsPerRowGroup(rowGroup), parquet.CreatedBy("insighthub", "1", ""),
	)}
}

// Write implements Writer.
func (p *parquetFile) Write(b *readings.Block) error {
	p.rows = p.rows[:0]
	device, metric := string(b.Device), string(b.Metric)
	for i, at := range b.Times {
		p.rows = append(p.rows, parquetRow{device, metric, b.Unit, int64(at), b.Values[i], b.Quality[i].String()})
	}
	_, err := p.writer.Write(p.rows)
	return err
}

// Close implements Writer.
func (p *parquetFile) Close() error { return p.writer.Close() }
