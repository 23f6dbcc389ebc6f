package kpi

import (
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
)

// Config is how a Shard reduces. A zero duration or limit means its default.
// Window, Lateness and Ahead decide which events count, so a serialised state is
// read only under the Window that it was written with.
type Config struct {
	// Window is the length of a window: 1 ms to 1 h, default 5 s. Windows are
	// aligned on the Unix epoch.
	Window time.Duration
	// Lateness is how long after its end, by the arrival clock, a window stays
	// open: at most 1 h, default 2 s.
	Lateness time.Duration
	// Ahead is how far past the arrival clock an event's time may be, at least:
	// at most 1 h, default 10 s.
	Ahead time.Duration
	// Forget is the silence after which a series, machine or gateway is no
	// longer reported on and gives up its memory: default 1 h, at least Window.
	Forget time.Duration
	// Gap is the silence of a gateway beyond which time counts as a gap:
	// default 10 s; a shorter one than Window counts as Window.
	Gap time.Duration

	Limits Limits
	// Machines says which devices are machines. Nil: none is.
	Machines Machines
}

// Limits bound what a shard holds. What comes past one is counted and visible,
// and everything else goes on.
type Limits struct {
	// Gateways of a shard: default 10,000.
	Gateways int
	// Devices and Series of one gateway: default 1,000 and 10,000.
	Devices, Series int
	// Runs bounds the arithmetic runs in which the times of one series and
	// window are kept: default 64. See the package comment on duplicates.
	Runs int
	// Changes bounds the changes of one state or counter kept in one window:
	// default 64.
	Changes int
}

// Machines is the configuration of the devices that are machines.
type Machines interface {
	// Machine returns the configuration of a device, or nil where the device is
	// no machine. It is asked once per device and batch and per device and
	// closed window, so it answers from memory. A changed configuration is
	// another pointer; what is returned is not changed any more.
	Machine(gateway telemetry.GatewayID, device telemetry.DeviceName) *Machine
}

const (
	maxWindow  = time.Hour
	maxForget  = 366 * 24 * time.Hour
	maxTime    = telemetry.Micros(1) << 53 // the year 2255
	microsecs  = telemetry.Micros(time.Second / time.Microsecond)
	defaultGap = 10 * time.Second
)

// withDefaults returns c with its zeros replaced, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	orDuration := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	orDuration(&c.Window, 5*time.Second)
	orDuration(&c.Lateness, 2*time.Second)
	orDuration(&c.Ahead, 10*time.Second)
	orDuration(&c.Forget, time.Hour)
	orDuration(&c.Gap, defaultGap)
	or := func(n *int, otherwise int) {
		if *n == 0 {
			*n = otherwise
		}
	}
	or(&c.Limits.Gateways, 10_000)
	or(&c.Limits.Devices, 1_000)
	or(&c.Limits.Series, 10_000)
	or(&c.Limits.Runs, 64)
	or(&c.Limits.Changes, 64)
	var wrong []error
	want := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, fmt.Errorf("%w: kpi: %s", telemetry.ErrInvalid, what))
		}
	}
	want(c.Window >= time.Millisecond && c.Window <= maxWindow && c.Window%time.Microsecond == 0, "window: want whole microseconds from 1 ms to 1 h")
	want(c.Lateness >= 0 && c.Lateness <= maxWindow, "lateness: want 0 to 1 h")
	want(c.Ahead >= 0 && c.Ahead <= maxWindow, "ahead: want 0 to 1 h")
	want(c.Forget >= c.Window && c.Forget <= maxForget, "forget: want at least the window and at most 366 days")
	want(c.Gap > 0 && c.Gap <= maxForget, "gap: want more than 0 and at most 366 days")
	l := c.Limits
	want(l.Gateways > 0 && l.Devices > 0 && l.Series > 0, "limits: want more than 0")
	want(l.Runs >= 8 && l.Runs <= 1<<16 && l.Changes >= 8 && l.Changes <= 1<<16, "limits: want 8 to 65,536 runs and changes")
	c.Gap = max(c.Gap, c.Window)
	return c, errors.Join(wrong...)
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
