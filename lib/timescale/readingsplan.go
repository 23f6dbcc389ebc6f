package timescale

import (
	"fmt"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	minuteMicros = telemetry.Micros(time.Minute / time.Microsecond)
	hourMicros   = telemetry.Micros(time.Hour / time.Microsecond)
	// maxPieces limits the stale hours of a range that are read one by one. If there are
	// more, events are read from the first to the last of them.
	maxPieces = 12
)

// source is the table that a part of a range is read from.
type source int

const (
	ofEvents source = iota
	ofMinutes
	ofHours
)

// piece is a part of a range.
type piece struct {
	readings.Range
	of source
}

// pieces splits a range by source: hours and minutes where they lie completely in the
// range, before their watermark and not in a stale hour, else events.
func pieces(r readings.Range, width time.Duration, watermark, hourWatermark telemetry.Micros, stale []telemetry.Micros) []piece {
	holes := holesOf(stale)
	if width%time.Hour != 0 {
		return finePieces(nil, r, width, watermark, holes)
	}
	from, to := floorTo(r.From+hourMicros-1, hourMicros), floorTo(min(r.To, hourWatermark), hourMicros)
	if from >= to {
		return finePieces(nil, r, width, watermark, holes)
	}
	all := finePieces(nil, readings.Range{From: r.From, To: from}, width, watermark, holes)
	all = split(all, readings.Range{From: from, To: to}, ofHours, holes)
	return finePieces(all, readings.Range{From: to, To: r.To}, width, watermark, holes)
}

// finePieces adds the pieces of a range without hours: minutes and events.
func finePieces(all []piece, r readings.Range, width time.Duration, watermark telemetry.Micros, holes []readings.Range) []piece {
	from := floorTo(r.From+minuteMicros-1, minuteMicros)
	to := floorTo(min(r.To, watermark), minuteMicros)
	if width%time.Minute != 0 || from >= to {
		return add(all, piece{r, ofEvents})
	}
	all = add(all, piece{readings.Range{From: r.From, To: from}, ofEvents})
	all = split(all, readings.Range{From: from, To: to}, ofMinutes, holes)
	return add(all, piece{readings.Range{From: to, To: r.To}, ofEvents})
}

// holesOf merges adjacent stale hours, which are sorted.
func holesOf(stale []telemetry.Micros) (holes []readings.Range) {
	if n := len(stale); n > maxPieces {
		return []readings.Range{{From: stale[0], To: stale[n-1] + hourMicros}}
	}
	for _, hour := range stale {
		if n := len(holes); n > 0 && holes[n-1].To == hour {
			holes[n-1].To += hourMicros
		} else {
			holes = append(holes, readings.Range{From: hour, To: hour + hourMicros})
		}
	}
	return holes
}

// split adds r with one source, and with events in its holes, which are sorted and disjoint.
func split(all []piece, r readings.Range, of source, holes []readings.Range) []piece {
	for _, hole := range holes {
		begin, end := max(hole.From, r.From), min(hole.To, r.To)
		if begin >= end {
			continue
		}
		all = add(all, piece{readings.Range{From: r.From, To: begin}, of})
		all = add(all, piece{readings.Range{From: begin, To: end}, ofEvents})
		r.From = end
	}
	return add(all, piece{r, of})
}

// add appends a piece, or extends the last one if both have the same source.
func add(all []piece, p piece) []piece {
	if p.From >= p.To {
		return all
	}
	if n := len(all); n > 0 && all[n-1].of == p.of && all[n-1].To == p.From {
		all[n-1].To = p.To
		return all
	}
	return append(all, p)
}

// bucketColumn returns the SQL expression of an aggregate over the union of pieces.
func bucketColumn(a readings.Aggregate) (string, error) {
	switch a {
	case readings.Min:
		return "min(low)", nil
	case readings.Max:
		return "max(high)", nil
	case readings.Mean:
		return "sum(total) / sum(n)", nil
	case readings.Sum:
		return "sum(total)", nil
	case readings.Count:
		return "sum(n)::float8", nil
	case readings.First:
		return "(array_agg(opening ORDER BY opened))[1]", nil
	case readings.Last:
		return "(array_agg(closing ORDER BY closed DESC))[1]", nil
	default:
		return "", fmt.Errorf("%w: aggregate %q", telemetry.ErrInvalid, a)
	}
}

// bucketStatement returns the query of a range in buckets. The statement is made of
// constants of this file; everything else is a parameter.
func bucketStatement(st seriesState, q readings.BucketQuery) (statement string, arguments []any, err error) {
	stale := make([]telemetry.Micros, len(st.stale))
	for i, hour := range st.stale {
		stale[i] = telemetry.MicrosOf(hour)
	}
	arguments = []any{st.device, st.metric, codes(q.Qualities), q.Width}
	var b strings.Builder
	b.WriteString("SELECT bucket")
	for _, a := range q.Aggregates {
		column, err := bucketColumn(a)
		if err != nil {
			return "", nil, err
		}
		b.WriteString(", " + column)
	}
	b.WriteString(" FROM (")
	for i, p := range pieces(q.Range, q.Width, telemetry.MicrosOf(st.watermark), telemetry.MicrosOf(st.hourWatermark), stale) {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		arguments = append(arguments, p.From.Time(), p.To.Time())
		const rolledUp = "count AS n, sum AS total, min AS low, max AS high, " +
			"first AS opening, first_at AS opened, last AS closing, last_at AS closed FROM "
		time, valued := "time", ""
		switch p.of {
		case ofHours:
			time = "hour"
			b.WriteString("SELECT date_bin($4, hour, 'epoch') AS bucket, " + rolledUp + "event_hour")
		case ofMinutes:
			time = "minute"
			b.WriteString("SELECT date_bin($4, minute, 'epoch') AS bucket, " + rolledUp + "event_minute")
		default:
			b.WriteString(`SELECT date_bin($4, time, 'epoch') AS bucket, 1 AS n, least(greatest(value, -1e290), 1e290) AS total,
				value AS low, value AS high, value AS opening, time AS opened, value AS closing, time AS closed FROM event`)
			valued = " AND value <> 'NaN'"
		}
		n := len(arguments)
		fmt.Fprintf(&b, " WHERE device_id = $1 AND metric_id = $2 AND quality = ANY ($3::int2[]) AND %s >= $%d AND %s < $%d%s",
			time, n-1, time, n, valued)
	}
	b.WriteString(") AS part GROUP BY bucket ORDER BY bucket")
	return b.String(), arguments, nil
}
