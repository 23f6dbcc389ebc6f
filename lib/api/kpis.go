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
	return []route{{
		pattern: "GET /v1/sites/{site}/kpis", role: directory.Viewer, serve: h.getKPIs,
		parameters: []string{"gateway", "device", "from", "to"}, independent: true,
	}}
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

// kpiDocument has the KPIs of kpi.Definitions and the sums that they are computed from.
// One that is not defined, such as the quality of no items, and a sum that no machine
// reported, are null.
type kpiDocument struct {
	Site    telemetry.SiteID     `json:"site"`
	Gateway telemetry.GatewayID  `json:"gateway,omitempty"`
	Device  telemetry.DeviceName `json:"device,omitempty"`
	From    telemetry.Micros     `json:"from"`
	To      telemetry.Micros     `json:"to"`
	// Windows counts the windows that machines reported in the range, Machines the
	// machines, and MachinesIn those that take part in a KPI.
	Windows    int64              `json:"windows"`
	Machines   int64              `json:"machines"`
	MachinesIn machinesInDocument `json:"machines_in"`
	// Flags names the KPIs that are more than they can be.
	Flags []string `json:"flags"`

	Availability number `json:"availability"`
	Performance  number `json:"performance"`
	Quality      number `json:"quality"`
	OEE          number `json:"oee"`
	TEEP         number `json:"teep"`
	Scrap        number `json:"scrap"`
	Throughput   number `json:"throughput_per_hour"`
	MTBF         number `json:"mtbf_seconds"`
	MTTR         number `json:"mttr_seconds"`

	Clock                 number             `json:"clock_seconds"`
	Calendar              number             `json:"calendar_seconds"`
	OEECalendar           number             `json:"oee_calendar_seconds"`
	Unreported            number             `json:"unreported_seconds"`
	Planned               number             `json:"planned_seconds"`
	Busy                  number             `json:"busy_seconds"`
	Production            number             `json:"production_seconds"`
	Idle                  number             `json:"idle_seconds"`
	Setup                 number             `json:"setup_seconds"`
	Down                  number             `json:"down_seconds"`
	Unknown               number             `json:"unknown_seconds"`
	Failures              number             `json:"failures"`
	Produced              number             `json:"produced"`
	Good                  number             `json:"good"`
	Ideal                 number             `json:"ideal_seconds"`
	PerformanceProduction number             `json:"performance_production_seconds"`
	QualityProduced       number             `json:"quality_produced"`
	QualityGood           number             `json:"quality_good"`
	QualityIdeal          number             `json:"quality_ideal_seconds"`
	QualityGoodIdeal      number             `json:"quality_good_ideal_seconds"`
	OEEGoodIdeal          number             `json:"oee_good_ideal_seconds"`
	OEEBusy               number             `json:"oee_busy_seconds"`
	Downtime              []downtimeDocument `json:"downtime"`
}

type machinesInDocument struct {
	Availability int64 `json:"availability"`
	Performance  int64 `json:"performance"`
	Quality      int64 `json:"quality"`
	OEE          int64 `json:"oee"`
}

// member returns the number of machines in a KPI, or nil if it is not shown.
func (m *machinesInDocument) member(name string) *int64 {
	switch name {
	case kpi.Availability:
		return &m.Availability
	case kpi.Performance:
		return &m.Performance
	case kpi.Quality:
		return &m.Quality
	case kpi.OEE:
		return &m.OEE
	}
	return nil
}

// kpiDocumentOf returns the document of the sums of a selection, whose range is clock long
// until now.
func kpiDocumentOf(s readings.Selection, t kpi.Totals, clock time.Duration) kpiDocument {
	t = t.WithClock(clock)
	sum := func(name kpi.Name) number {
		if v, ok := t.Sums[name]; ok {
			return number(v)
		}
		return number(math.NaN())
	}
	d := kpiDocument{
		Site: s.Site, Gateway: s.Gateway, Device: s.Device, From: s.Range.From, To: s.Range.To,
		Windows: t.Windows, Machines: t.Machines[kpi.CalendarSeconds], Flags: []string{},
		Clock: sum(kpi.ClockSeconds), Calendar: sum(kpi.AllCalendarSeconds), OEECalendar: sum(kpi.OEECalendarSeconds),
		Unreported: sum(kpi.UnreportedSeconds), Planned: sum(kpi.PlannedSeconds), Busy: sum(kpi.BusySeconds),
		Production: sum(kpi.ProductionSeconds), Idle: sum(kpi.IdleSeconds), Setup: sum(kpi.SetupSeconds),
		Down: sum(kpi.DownSeconds), Unknown: sum(kpi.UnknownSeconds), Failures: sum(kpi.Failures),
		Produced: sum(kpi.Produced), Good: sum(kpi.Good), Ideal: sum(kpi.IdealSeconds),
		PerformanceProduction: sum(kpi.PerformanceProductionSeconds),
		QualityProduced:       sum(kpi.QualityProduced), QualityGood: sum(kpi.QualityGood),
		QualityIdeal: sum(kpi.QualityIdealSeconds), QualityGoodIdeal: sum(kpi.QualityGoodIdealSeconds),
		OEEGoodIdeal: sum(kpi.OEEGoodIdealSeconds), OEEBusy: sum(kpi.OEEBusySeconds),
	}
	for _, is := range kpi.Definitions() {
		group := s.Device == ""
		v, ok := is.Of(t, group)
		if !ok {
			v = math.NaN()
		}
		*d.member(is.Name) = number(v)
		if in := d.MachinesIn.member(is.Name); in != nil {
			*in = is.Machines(t, group)
		}
		if is.Above(v) {
			d.Flags = append(d.Flags, is.Name+"_above_1")
		}
	}
	if t.Downtime != nil {
		d.Downtime = []downtimeDocument{}
	}
	for reason, length := range t.Downtime {
		d.Downtime = append(d.Downtime, downtimeDocument{reason, length})
	}
	slices.SortFunc(d.Downtime, func(a, b downtimeDocument) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Reason, b.Reason))
	})
	return d
}

// member returns the field of a KPI.
func (d *kpiDocument) member(name string) *number {
	return map[string]*number{
		kpi.Availability: &d.Availability, kpi.Performance: &d.Performance, kpi.Quality: &d.Quality, kpi.OEE: &d.OEE,
		kpi.TEEP: &d.TEEP, kpi.Scrap: &d.Scrap, kpi.Throughput: &d.Throughput, kpi.MTBF: &d.MTBF, kpi.MTTR: &d.MTTR,
	}[name]
}

func (h *Handler) getKPIs(c *call) error {
	s, values := readings.Selection{Site: c.site()}, c.values
	var err error
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
	// The time that is still to come is no calendar time yet.
	clock := time.Duration(min(s.Range.To, telemetry.MicrosOf(c.now))-s.Range.From) * time.Microsecond
	return c.respondUncached(http.StatusOK, kpiDocumentOf(s, totals, clock))
}
