package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"time"

	"github.com/insighthub/insighthub/cdk/local/template"
)

// Config of a Stack.
type Config struct {
	// Assembly is the folder of the synthesised CDK app, Stage one of its stages.
	Assembly string
	Stage    string
	// State is the folder of the data that outlives a run; it is created.
	State string
	// HTTP is the address of the API; port 0 selects a free one.
	HTTP string
	// Database is the DSN of a running server; if empty, the stack starts one.
	Database string
	// Timescale is the folder of the unpacked PostgreSQL.
	Timescale string
	// Prometheus is the folder of the unpacked Prometheus, for stages with a workspace.
	Prometheus string
	// Coturn and Redis are the folders of the unpacked servers, for stages with a live path.
	Coturn, Redis string
	// Live is the folder of the built page of the live path, which may be built later; if empty, no
	// page is served.
	Live string
	// PrometheusHTTP is the address of Prometheus; default 127.0.0.1:9090, or a free port
	// if that is in use.
	PrometheusHTTP string
	// Functions is the folder of the functions' binaries: NAME/bootstrap.
	Functions string
	// Without names functions, such as "bridge", whose event source mappings and
	// schedules do not run.
	Without []string
	// And is a command that is started when the stack is ready, and stopped first.
	And string
	// Concurrency limits the processes of a function behind the API; requests wait for a
	// free one. Default two per processor.
	Concurrency int
	// Unthrottled ignores the throttles of the API's routes, for tools that send more
	// requests than these let pass.
	Unthrottled bool
	// Drain limits the wait for requests and invocations in flight at the end; default 10 s.
	Drain time.Duration
	// Out receives the messages for the user.
	Out io.Writer
	Now func() time.Time
}

// Disable adds a function to Without, for flag.Func.
func (c *Config) Disable(function string) error {
	c.Without = append(c.Without, function)
	return nil
}

const (
	defaultDrain = 10 * time.Second
	// streamBytes limits the memory of the stream's records. Stored ones are dropped first;
	// if there are none, puts are rejected as by a throttled shard.
	streamBytes = 256 << 20
)

func (c Config) complete() (Config, error) {
	var problems []error
	for _, required := range []struct{ flag, value string }{
		{"assembly", c.Assembly}, {"stage", c.Stage}, {"state", c.State}, {"http", c.HTTP}, {"functions", c.Functions},
	} {
		if required.value == "" {
			problems = append(problems, fmt.Errorf("-%s is empty", required.flag))
		}
	}
	if c.Database == "" && c.Timescale == "" {
		problems = append(problems, errors.New("-database and -timescale are both empty"))
	}
	c.Concurrency = cmp.Or(c.Concurrency, 2*runtime.NumCPU())
	c.Drain = cmp.Or(c.Drain, defaultDrain)
	// The database server runs in another folder.
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

func (c Config) redis() string { return filepath.Join(c.Redis, "bin", "redis-server") }

// installed is a program that a plan needs.
type installed struct{ name, file string }

// programs returns the programs of the live path that a plan needs.
func (c Config) programs(plan *template.Plan) (all []installed) {
	if len(plan.Caches) > 0 {
		all = append(all, installed{"redis-server", c.redis()})
	}
	for _, t := range plan.Tasks {
		if t.Program == turnProgram {
			all = append(all, installed{"coturn", filepath.Join(c.Coturn, "bin", "turnserver")})
		} else {
			all = append(all, installed{t.Program, c.binary(t.Program)})
		}
	}
	return all
}

func (c Config) prometheus() string { return filepath.Join(c.Prometheus, "bin", "prometheus") }
