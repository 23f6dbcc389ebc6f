package exportfile

import (
	"bytes"
	"encoding/json"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

func jsonSeries(b *readings.Block) string {
	return `{"device":` + jsonText(string(b.Device)) + `,"metric":` + jsonText(string(b.Metric)) +
		`,"unit":` + jsonText(b.Unit) + `,"time":"`
}

// jsonText quotes a text without the escapes that encoding/json adds for HTML: <, > and &
// stand for themselves, as they do in the other formats.
func jsonText(s string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string always has a JSON form
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

func appendJSON(line []byte, at telemetry.Micros, value float64, quality telemetry.Quality) []byte {
	line = append(appendTime(line, at, timeLayout), `","value":`...)
	if missing(value) {
		line = append(line, "null"...)
	} else {
		line = appendNumber(line, value)
	}
	line = append(line, `,"quality":"`...)
	line = append(line, quality.String()...)
	return append(line, '"', '}', '\n')
}
