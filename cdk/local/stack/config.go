package stack

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"
)

// Config says what to run, and where.
type Config struct {
	// Assembly is the folder of the synthesised CDK app, Stage one of its stages.
	Assembly string
	Stage    string
	// State is the folder for what is kept between runs; it is made.
	State string
	// HTTP is the address on which the API listens; port 0 takes a free one.
	HTTP string
	// Database is the DSN of a running server; empty starts one of its own.
	Database string
	// Timescale is the folder of the unpacked PostgreSQL, for a server of its own.
	Timescale string
	// Prometheus is the folder of the unpacked Prometheus, for stages with a workspace.
	Prometheus string
	// PrometheusHTTP is the address on which it listens. Empty means 127.0.0.1:9090,
	// or a free port when that is taken.
	PrometheusHTTP string
	// Functions is the folder of the functions' binaries: NAME/bootstrap.
	Functions string
	// Without names functions, such as "bridge", whose event source mappings and
	// schedules do not run.
	Without []string
	// And is a command that is started when everything answers, and stopped first.
	And string
	// Concurrency bounds the processes of a function behind the API; requests wait
	// for a free one. 0 means two for each processor.
	Concurrency int
	// Drain bounds the wait for requests and invocations in flight at the end; 0 means 10 s.
	Drain time.Duration
	// Out takes what the user is to see.
	Out io.Writer
	Now func() time.Time
}

// LeaveOut adds a function to Without; it is of the form that flag.Func wants.
func (c *Config) LeaveOut(function string) error {
	c.Without = append(c.Without, function)
	return nil
}

const (
	defaultDrain = 10 * time.Second
	// streamBytes bounds the memory of the stream's records. Those that are stored go
	// first; when none is left to go, puts are refused as by a throttled shard.
	streamBytes = 256 << 20
)

func (c Config) complete() (Config, error) {
	var problems []error
	for name, value := range map[string]string{
		"assembly": c.Assembly, "stage": c.Stage, "state": c.State, "http": c.HTTP, "functions": c.Functions,
	} {
		if value == "" {
			problems = append(problems, fmt.Errorf("-%s is empty", name))
		}
	}
	if c.Database == "" && c.Timescale == "" {
		problems = append(problems, errors.New("want -database or -timescale"))
	}
	if c.Concurrency == 0 {
		c.Concurrency = 2 * runtime.NumCPU()
	}
	if c.Drain == 0 {
		c.Drain = defaultDrain
	}
	// The database's server runs in another folder.
	var err error
	if c.State, err = filepath.Abs(c.State); err != nil {
		problems = append(problems, err)
	}
	return c, errors.Join(problems...)
}

func (c Config) path(elements ...string) string {
	return filepath.Join(append([]string{c.State}, elements...)...)
}

func (c Config) binary(program string) string {
	return filepath.Join(c.Functions, program, "bootstrap")
}

func (c Config) prometheus() string { return filepath.Join(c.Prometheus, "bin", "prometheus") }
