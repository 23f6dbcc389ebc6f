package api

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/kpi"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// KPIs reads the sums that the bridge writes to Prometheus. It needs no database.
type KPIs interface {
	// Sums adds up the windows that end in the range: of the site, of a gateway, or of a
	// device. It ignores the metric of the selection. telemetry.ErrInvalid when the range
	// has more samples than the server adds up.
	Sums(ctx context.Context, s readings.Selection) (kpi.Totals, error)
}

// maxKPISpan bounds the range of a request.
const maxKPISpan = 31 * 24 * time.Hour

func (h *Handler) kpiRoutes() []route {
	return []route{{pattern: "GET /v1/sites/{site}/kpis", role: directory.Viewer, serve: h.getKPIs}}
}

// number is a float64 whose NaN and infinities are null in JSON.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

type downtimeDocument struct {
	Reason  string  `json:"reason"`
	Seconds float64 `json:"seconds"`
}

// kpiDocument has the ratios and the sums that they are computed from. An undefined
// ratio, such as the quality of no items, is null.
type kpiDocument struct {
	Site    telemetry.SiteID     `json:"site"`
	Gateway telemetry.GatewayID  `json:"gateway,omitempty"`
	Device  telemetry.DeviceName `json:"device,omitempty"`
	From    telemetry.Micros     `json:"from"`
	To      telemetry.Micros     `json:"to"`
	// Windows counts the windows that machines reported in the range.
	Windows int64 `json:"windows"`

	Availability number `json:"availability"`
	Performance  number `json:"performance"`
	Quality      number `json:"quality"`
	OEE          number `json:"oee"`
	TEEP         number `json:"teep"`
	Scrap        number `json:"scrap"`
	Throughput   number `json:"throughput_per_hour"`
	MTBF         number `json:"mtbf_seconds"`
	MTTR         number `json:"mttr_seconds"`

	Calendar   float64            `json:"calendar_seconds"`
	Planned    float64            `json:"planned_seconds"`
	Busy       float64            `json:"busy_seconds"`
	Production float64            `json:"production_seconds"`
	Idle       float64            `json:"idle_seconds"`
	Setup      float64            `json:"setup_seconds"`
	Down       float64            `json:"down_seconds"`
	Unknown    float64            `json:"unknown_seconds"`
	Ideal      float64            `json:"ideal_seconds"`
	Produced   float64            `json:"produced"`
	Good       float64            `json:"good"`
	Failures   uint64             `json:"failures"`
	Downtime   []downtimeDocument `json:"downtime"`
}

func kpiDocumentOf(s readings.Selection, r kpi.Totals) kpiDocument {
	d := kpiDocument{
		Site: s.Site, Gateway: s.Gateway, Device: s.Device, From: s.Range.From, To: s.Range.To, Windows: r.Windows,
		Availability: number(r.Availability()), Performance: number(r.Performance()), Quality: number(r.Quality()),
		OEE: number(r.OEE()), TEEP: number(r.TEEP()), Scrap: number(r.Scrap()), Throughput: number(r.Throughput()),
		MTBF: secondsOrNull(r.MTBF()), MTTR: secondsOrNull(r.MTTR()),
		Calendar: r.Calendar.Seconds(), Planned: r.Planned.Seconds(), Busy: r.Busy.Seconds(), Production: r.Production.Seconds(),
		Idle: r.Idle.Seconds(), Setup: r.Setup.Seconds(), Down: r.Down.Seconds(), Unknown: r.Unknown.Seconds(),
		Ideal: r.IdealSeconds, Produced: r.Produced, Good: r.Good, Failures: r.Failures,
		Downtime: []downtimeDocument{},
	}
	for reason, length := range r.Downtime {
		d.Downtime = append(d.Downtime, downtimeDocument{reason, length.Seconds()})
	}
	slices.SortFunc(d.Downtime, func(a, b downtimeDocument) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Reason, b.Reason))
	})
	return d
}

func secondsOrNull(d time.Duration, ok bool) number {
	if !ok {
		return number(math.NaN())
	}
	return number(d.Seconds())
}

func (h *Handler) getKPIs(c *call) error {
	values, err := c.query("gateway", "device", "from", "to")
	if err != nil {
		return err
	}
	s := readings.Selection{Site: c.site()}
	if s.Device, err = nameParameter[telemetry.DeviceName](values, "device", false); err != nil {
		return err
	}
	if s.Gateway, err = nameParameter[telemetry.GatewayID](values, "gateway", s.Device != ""); err != nil {
		return err
	}
	if s.Range, err = rangeParameters(values, c.now); err != nil {
		return err
	}
	if s.Range.Seconds() > maxKPISpan.Seconds() {
		return unprocessable("The range is longer than 31 days. Request a shorter range.")
	}
	totals, err := h.config.KPIs.Sums(c.Context(), s)
	if err != nil {
		return err
	}
	return c.respondUncached(http.StatusOK, kpiDocumentOf(s, totals))
}
