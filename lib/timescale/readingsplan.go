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
	// maxPieces bounds the parts of which a range is put together; past it the events
	// between the first and the last stale hour are read themselves.
	maxPieces = 12
)

// piece is a part of a range, of minutes or of events.
type piece struct {
	readings.Range
	minutes bool
}

// pieces says from what a range is answered: from minutes where they are whole, below
// the watermark and true, else from events.
func pieces(r readings.Range, width time.Duration, watermark telemetry.Micros, stale []telemetry.Micros) []piece {
	from := floorTo(r.From+minuteMicros-1, minuteMicros)
	to := floorTo(min(r.To, watermark), minuteMicros)
	if width%time.Minute != 0 || from >= to {
		return []piece{{Range: r}}
	}
	if n := len(stale); n > maxPieces {
		all := stale[n-1] + hourMicros - stale[0]
		return split(r, from, to, []readings.Range{{From: stale[0], To: stale[0] + all}})
	}
	var holes []readings.Range
	for _, hour := range stale {
		if n := len(holes); n > 0 && holes[n-1].To == hour {
			holes[n-1].To += hourMicros
		} else {
			holes = append(holes, readings.Range{From: hour, To: hour + hourMicros})
		}
	}
	return split(r, from, to, holes)
}

// split cuts r into minutes from from to to without the holes, and events. The holes
// are in order and apart.
func split(r readings.Range, from, to telemetry.Micros, holes []readings.Range) (all []piece) {
	add := func(from, to telemetry.Micros, minutes bool) {
		if from >= to {
			return
		}
		if n := len(all); n > 0 && !minutes && !all[n-1].minutes && all[n-1].To == from {
			all[n-1].To = to
			return
		}
		all = append(all, piece{readings.Range{From: from, To: to}, minutes})
	}
	add(r.From, from, false)
	for _, hole := range holes {
		begin, end := max(hole.From, from), min(hole.To, to)
		if begin >= end {
			continue
		}
		add(from, begin, true)
		add(begin, end, false)
		from = end
	}
	add(from, to, true)
	add(to, r.To, false)
	return all
}

// bucketColumn is the expression of an aggregate over the union of pieces.
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

// bucketStatement makes the query of a range in buckets. Only texts of this file go
// into the statement; everything else is a parameter.
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
	for i, p := range pieces(q.Range, q.Width, telemetry.MicrosOf(st.watermark), stale) {
		if i > 0 {
			b.WriteString(" UNION ALL ")
		}
		arguments = append(arguments, p.From.Time(), p.To.Time())
		time := "time"
		if p.minutes {
			time = "minute"
			b.WriteString(`SELECT date_bin($4, minute, 'epoch') AS bucket, count AS n, sum AS total, min AS low, max AS high, first AS opening, first_at AS opened, last AS closing, last_at AS closed
				FROM event_minute`)
		} else {
			b.WriteString(`SELECT date_bin($4, time, 'epoch') AS bucket, 1 AS n, least(greatest(value, -1e290), 1e290) AS total, value AS low, value AS high, value AS opening, time AS opened, value AS closing, time AS closed
				FROM event`)
		}
		n := len(arguments)
		fmt.Fprintf(&b, " WHERE device_id = $1 AND metric_id = $2 AND quality = ANY ($3::int2[]) AND %s >= $%d AND %s < $%d", time, n-1, time, n)
	}
	b.WriteString(") AS part GROUP BY bucket ORDER BY bucket")
	return b.String(), arguments, nil
}
