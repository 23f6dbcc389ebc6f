package lambda

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Bounds that Lambda sets, in bytes.
const (
	// MaxRequestBytes is the largest payload of a synchronous invocation.
	MaxRequestBytes = 6_291_456
	// MaxResponseBytes is the largest payload of a response, 100 bytes more as
	// Lambda counts it.
	MaxResponseBytes = 6_291_556
)

const (
	defaultMemoryMB       = 128
	defaultTimeout        = 3 * time.Second
	defaultMaxConcurrency = 10
	defaultInitTimeout    = 10 * time.Second
	defaultStopGrace      = 2 * time.Second
	defaultAccountID      = "000000000000"
	defaultRegion         = "eu-central-1"
)

// Config describes one function.
type Config struct {
	// Name is the function's name, as in AWS_LAMBDA_FUNCTION_NAME.
	Name string
	// Binary is the path of the function's bootstrap, built for this processor.
	Binary string
	// Env holds KEY=value pairs from the template. The process inherits nothing
	// of the host's own environment. The variables that Lambda reserves are set
	// on top, except AWS_REGION and the credentials, which are kept when given.
	Env []string
	// MemoryMB bounds the resident memory of one process; 0 means 128.
	MemoryMB int
	// Timeout bounds one invocation; 0 means 3 s.
	Timeout time.Duration
	// ReservedConcurrency bounds the invocations at one time; below 0 none is
	// reserved, and 0 refuses every invocation, as in Lambda.
	ReservedConcurrency int
	// MaxConcurrency is the host's own bound for this function; 0 means 10.
	MaxConcurrency int
	// MaxWait is how long an invocation waits for a place when MaxConcurrency is
	// reached: Lambda would start more environments than one machine can hold.
	// 0 refuses at once, as a reserved concurrency always does.
	MaxWait time.Duration
	// InitTimeout bounds the time from the start of a process to its first
	// request for an invocation; 0 means 10 s.
	InitTimeout time.Duration
	// Start starts a process, which has to lead a process group; nil means cmd.Start. It is
	// called on one thread that does nothing else and ends with the function.
	Start func(cmd *exec.Cmd) error
	// IdleTimeout is how long an environment stays without work; 0 keeps it.
	IdleTimeout time.Duration
	// StopGrace is the time between SIGTERM and SIGKILL; 0 means 2 s.
	StopGrace time.Duration
	// AccountID stands in the function's ARN; empty means 000000000000.
	AccountID string
	// Logs receives what the functions print, in whole lines, one Write at a
	// time; nil discards it.
	Logs io.Writer
	// Platform adds Lambda's own lines of each invocation (platform.start,
	// platform.report) to Logs; that of each start (platform.initReport) is always there.
	Platform bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (c *Config) complete() error {
	var problems []error
	if c.Name == "" {
		problems = append(problems, errors.New("no name"))
	}
	if c.Binary == "" {
		problems = append(problems, errors.New("no binary"))
	}
	if c.MemoryMB < 0 || c.Timeout < 0 || c.MaxConcurrency < 0 || c.InitTimeout < 0 || c.IdleTimeout < 0 || c.StopGrace < 0 || c.MaxWait < 0 {
		problems = append(problems, errors.New("negative bound"))
	}
	for _, pair := range c.Env {
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" {
			problems = append(problems, fmt.Errorf("environment entry %q: want KEY=value", pair))
		}
	}
	orDefault(&c.MemoryMB, defaultMemoryMB)
	orDefault(&c.Timeout, defaultTimeout)
	orDefault(&c.MaxConcurrency, defaultMaxConcurrency)
	orDefault(&c.InitTimeout, defaultInitTimeout)
	orDefault(&c.StopGrace, defaultStopGrace)
	orDefault(&c.AccountID, defaultAccountID)
	if c.Start == nil {
		c.Start = (*exec.Cmd).Start
	}
	if c.Logs == nil {
		c.Logs = io.Discard
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return errors.Join(problems...)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// concurrency is the number of invocations that may run at one time, and
// whether it is the function's own rather than the host's.
func (c *Config) concurrency() (limit int, reserved bool) {
	if c.ReservedConcurrency >= 0 && c.ReservedConcurrency <= c.MaxConcurrency {
		return c.ReservedConcurrency, true
	}
	return c.MaxConcurrency, false
}

func (c *Config) lookup(key, otherwise string) string {
	value := otherwise
	for _, pair := range c.Env {
		if k, v, _ := strings.Cut(pair, "="); k == key {
			value = v
		}
	}
	return value
}

func (c *Config) arn() string {
	return "arn:aws:lambda:" + c.lookup("AWS_REGION", defaultRegion) + ":" + c.AccountID + ":function:" + c.Name
}

// environ returns the whole environment of a process. Of entries with the same
// key os/exec keeps the last.
func (c *Config) environ(api, logStream, taskRoot string) []string {
	region := c.lookup("AWS_REGION", defaultRegion)
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
		// The functions run beside no metadata service; looking for one costs seconds.
		"AWS_EC2_METADATA_DISABLED=true",
	}
	env = append(env, c.Env...)
	return append(env,
		"AWS_REGION="+region,
		"AWS_DEFAULT_REGION="+region,
		"AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME="+c.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(c.MemoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+c.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME="+logStream,
		"AWS_LAMBDA_RUNTIME_API="+api,
		"LAMBDA_TASK_ROOT="+taskRoot,
		"LAMBDA_RUNTIME_DIR="+taskRoot,
		"_HANDLER=bootstrap",
	)
}
