package kpi

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is the configuration of a Shard. A zero duration or limit means its default.
// A serialised state can be decoded only with the Window that it was encoded with.
type Config struct {
	// Window is the length of a window: 1 ms to 1 h, default 5 s. Windows are
	// aligned on the Unix epoch.
	Window time.Duration
	// Lateness is how long after its end, by the arrival clock, a window stays
	// open: at most 1 h, default 2 s.
	Lateness time.Duration
	// Ahead is how far after the arrival clock an event's window may begin: at most
	// 1 h, default 10 s.
	Ahead time.Duration
	// Forget is the silence after which a series, machine or gateway has no more
	// samples and its memory is freed: default 1 h, at least Window.
	Forget time.Duration
	// Gap is the silence of a gateway beyond which time counts as a gap: default
	// 10 s; a value less than Window counts as Window.
	Gap time.Duration

	Limits Limits
	// Machines describes the devices that are machines; nil means that none is.
	Machines Machines
}

// Limits are the limits of a shard's memory. Events beyond a limit are counted, and
// all others are processed.
type Limits struct {
	// Gateways of a shard: default 10,000.
	Gateways int
	// Devices and Series of one gateway: default 1,000 and 10,000.
	Devices, Series int
	// Runs is the limit of the arithmetic runs that store the times of one series and
	// window: default 64. See the package comment on duplicates.
	Runs int
	// Changes is the limit of the stored changes of one state or counter in one
	// window: default 64.
	Changes int
}

// Machines is the configuration of the devices that are machines.
type Machines interface {
	// Machine returns the configuration of a device, or nil if the device is not a
	// machine. It is called for each device of a batch and of a closed window, so it
	// must return from memory. It returns another pointer when the configuration has
	// changed, and never modifies a returned one.
	Machine(gateway telemetry.GatewayID, device telemetry.DeviceName) *Machine
}

const (
	maxWindow = time.Hour
	maxForget = 366 * 24 * time.Hour
	maxTime   = telemetry.Micros(1) << 53 // the year 2255
)

// withDefaults returns c with its zeros replaced by defaults, or all that is not valid.
func (c Config) withDefaults() (Config, error) {
	c.Window = cmp.Or(c.Window, 5*time.Second)
	c.Lateness = cmp.Or(c.Lateness, 2*time.Second)
	c.Ahead = cmp.Or(c.Ahead, 10*time.Second)
	c.Forget = cmp.Or(c.Forget, time.Hour)
	c.Gap = cmp.Or(c.Gap, 10*time.Second)
	l := &c.Limits
	l.Gateways = cmp.Or(l.Gateways, 10_000)
	l.Devices = cmp.Or(l.Devices, 1_000)
	l.Series = cmp.Or(l.Series, 10_000)
	l.Runs = cmp.Or(l.Runs, 64)
	l.Changes = cmp.Or(l.Changes, 64)

	var p problems
	p.expect(c.Window >= time.Millisecond && c.Window <= maxWindow && c.Window%time.Microsecond == 0,
		"window %s: want whole microseconds from 1 ms to 1 h", c.Window)
	p.expect(c.Lateness >= 0 && c.Lateness <= maxWindow, "lateness %s: want 0 to 1 h", c.Lateness)
	p.expect(c.Ahead >= 0 && c.Ahead <= maxWindow, "ahead %s: want 0 to 1 h", c.Ahead)
	p.expect(c.Forget >= c.Window && c.Forget <= maxForget, "forget %s: want at least the window and at most 366 days", c.Forget)
	p.expect(c.Gap > 0 && c.Gap <= maxForget, "gap %s: want more than 0 and at most 366 days", c.Gap)
	p.expect(l.Gateways > 0 && l.Devices > 0 && l.Series > 0,
		"limits of %d gateways, %d devices and %d series: want more than 0", l.Gateways, l.Devices, l.Series)
	p.expect(l.Runs >= 8 && l.Runs <= 1<<16 && l.Changes >= 8 && l.Changes <= 1<<16,
		"limits of %d runs and %d changes: want 8 to 65,536", l.Runs, l.Changes)
	c.Gap = max(c.Gap, c.Window)
	return c, p.join("kpi")
}

// problems collects errors, so that all of them are reported at once.
type problems []error

func (p *problems) expect(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// join returns nil, or an error that wraps telemetry.ErrInvalid.
func (p *problems) join(what string) error {
	if len(*p) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", telemetry.ErrInvalid, what, errors.Join(*p...))
}

func micros(d time.Duration) telemetry.Micros { return telemetry.Micros(d / time.Microsecond) }

// floor returns the greatest multiple of window that is not after t.
func floor(t, window telemetry.Micros) telemetry.Micros {
	f := t / window * window
	if f > t {
		f -= window
	}
	return f
}
