package timescale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// KPIConfig is a row of the table device_kpi: the KPI configuration of the machines
// that match its patterns.
type KPIConfig struct {
	// GatewayPattern and DevicePattern are names in which * matches any text.
	GatewayPattern, DevicePattern string
	// The metrics that the machines report; empty for one that they do not report.
	StateMetric, CountMetric, GoodMetric telemetry.MetricName
	// States maps state codes to their meaning.
	States map[int]KPIState
	// IdealCycle is the planned runtime per item.
	IdealCycle time.Duration
	// StaleAfter is the silence after which the state is unknown.
	StaleAfter time.Duration
	// Planned is the planned time of a week, in order; empty means always.
	Planned []KPIShift
}

// KPIState is the meaning of a state code. Element is production, idle, setup, down or not_planned.
type KPIState struct {
	Element string `json:"element"`
	Reason  string `json:"reason"`
}

// KPIShift is a part of a week, from Start to before End, as offsets from Monday 00:00 UTC.
type KPIShift struct{ Start, End time.Duration }

// KPIConfigs returns all rows of device_kpi in the order of precedence: the first row
// that matches a machine applies. Invalid rows are left out and named in the error,
// which wraps telemetry.ErrInvalid; the other rows are returned with it.
func (p *Pool) KPIConfigs(ctx context.Context) ([]KPIConfig, error) {
	var configs []KPIConfig
	var invalid []error
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		configs, invalid = nil, nil // do may retry
		rows, err := conn.Query(ctx, `
			SELECT gateway_pattern, device_pattern, coalesce(state_metric, ''), coalesce(count_metric, ''), coalesce(good_metric, ''),
				states::text, ideal_cycle_seconds, stale_after_seconds, coalesce(planned::text, 'null')
			FROM device_kpi ORDER BY priority DESC, length(gateway_pattern) + length(device_pattern) DESC, gateway_pattern, device_pattern`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c KPIConfig
			var states, planned string
			var ideal, stale float64
			err := rows.Scan(&c.GatewayPattern, &c.DevicePattern, &c.StateMetric, &c.CountMetric, &c.GoodMetric,
				&states, &ideal, &stale, &planned)
			if err != nil {
				return err
			}
			c.IdealCycle, c.StaleAfter = seconds(ideal), seconds(stale)
			if err := c.parse(states, planned); err != nil {
				invalid = append(invalid, fmt.Errorf("%w: row %q, %q: %w", telemetry.ErrInvalid, c.GatewayPattern, c.DevicePattern, err))
				continue
			}
			configs = append(configs, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("device_kpi: %w", err)
	}
	if err := errors.Join(invalid...); err != nil {
		return configs, fmt.Errorf("device_kpi: %w", err)
	}
	return configs, nil
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond)
}

// parse reads the two JSON columns.
func (c *KPIConfig) parse(states, planned string) error {
	var byCode map[string]KPIState
	if err := json.Unmarshal([]byte(states), &byCode); err != nil {
		return fmt.Errorf("states: %w", err)
	}
	c.States = make(map[int]KPIState, len(byCode))
	for _, text := range slices.Sorted(maps.Keys(byCode)) { // the first error is always the same
		state := byCode[text]
		code, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(code) != text {
			return fmt.Errorf("states: code %q: want an integer", text)
		}
		if elements := []string{"production", "idle", "setup", "down", "not_planned"}; !slices.Contains(elements, state.Element) {
			return fmt.Errorf("states: code %d: element %q: want one of %v", code, state.Element, elements)
		}
		c.States[code] = state
	}
	var byDay map[string][][2]string
	if err := json.Unmarshal([]byte(planned), &byDay); err != nil {
		return fmt.Errorf("planned: %w", err)
	}
	days := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	for _, name := range slices.Sorted(maps.Keys(byDay)) {
		day := slices.Index(days, name)
		if day < 0 {
			return fmt.Errorf("planned: day %q: want one of %v", name, days)
		}
		for _, span := range byDay[name] {
			start, err := timeOfDay(span[0])
			if err != nil {
				return fmt.Errorf("planned: %s: %w", name, err)
			}
			end, err := timeOfDay(span[1])
			if err != nil {
				return fmt.Errorf("planned: %s: %w", name, err)
			}
			if start >= end {
				return fmt.Errorf("planned: %s: start %s is not before end %s", name, span[0], span[1])
			}
			midnight := time.Duration(day) * 24 * time.Hour
			c.Planned = append(c.Planned, KPIShift{midnight + start, midnight + end})
		}
	}
	slices.SortFunc(c.Planned, func(a, b KPIShift) int { return int(a.Start - b.Start) })
	return nil
}

// timeOfDay reads hh:mm, from 00:00 to 24:00.
func timeOfDay(s string) (time.Duration, error) {
	if len(s) == 5 && s[2] == ':' {
		h, hErr := strconv.ParseUint(s[:2], 10, 8)
		m, mErr := strconv.ParseUint(s[3:], 10, 8)
		if hErr == nil && mErr == nil && m < 60 && h*60+m <= 24*60 {
			return time.Duration(h*60+m) * time.Minute, nil
		}
	}
	return 0, fmt.Errorf("time %q: want hh:mm", s)
}
