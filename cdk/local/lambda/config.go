package lambda

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Limits of Lambda, in bytes.
const (
	// MaxRequestBytes is the largest payload of a synchronous invocation.
	MaxRequestBytes = 6_291_456
	// MaxResponseBytes is the largest payload of a response, which Lambda allows 100
	// bytes more.
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
	// Env holds KEY=value pairs from the template. The process inherits nothing from
	// the environment of the emulator. The variables that Lambda reserves are added and
	// win, except AWS_REGION and the credentials, which Env may set.
	Env []string
	// MemoryMB limits the resident memory of one process; 0 means 128.
	MemoryMB int
	// Timeout limits one invocation; 0 means 3 s.
	Timeout time.Duration
	// ReservedConcurrency limits the concurrent invocations, those that wait for
	// MaxConcurrency included; below 0 none is reserved, and 0 throttles every invocation,
	// as in Lambda.
	ReservedConcurrency int
	// MaxConcurrency is the emulator's own limit for this function; 0 means 10.
	MaxConcurrency int
	// MaxWait is how long an invocation waits when MaxConcurrency is reached: Lambda
	// would start more environments than one machine can run. 0 throttles immediately,
	// as a reserved concurrency always does.
	MaxWait time.Duration
	// InitTimeout limits the time from the start of a process to its first request for
	// an invocation; 0 means 10 s.
	InitTimeout time.Duration
	// Start starts a process, which must lead its process group; nil means cmd.Start. It is
	// called on one thread that does nothing else and ends with the function.
	Start func(cmd *exec.Cmd) error
	// IdleTimeout is how long an idle environment is kept; 0 keeps it until Close.
	IdleTimeout time.Duration
	// StopGrace is the time between SIGTERM and SIGKILL; 0 means 2 s.
	StopGrace time.Duration
	// AccountID is part of the function's ARN; empty means 000000000000.
	AccountID string
	// Logs receives the output of the processes in whole lines, one Write at a time;
	// nil discards it.
	Logs io.Writer
	// Platform adds Lambda's line of each invocation (platform.report) to Logs; the
	// line of each start (platform.initReport) is always written.
	Platform bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// withDefaults returns c with defaults for what is zero, or all problems of c.
func (c Config) withDefaults() (Config, error) {
	var problems []error
	if c.Name == "" {
		problems = append(problems, errors.New("name: empty"))
	}
	if c.Binary == "" {
		problems = append(problems, errors.New("binary: empty"))
	}
	if c.MemoryMB < 0 || c.MaxConcurrency < 0 {
		problems = append(problems, fmt.Errorf("memory of %d MB or concurrency of %d: negative", c.MemoryMB, c.MaxConcurrency))
	}
	if min(c.Timeout, c.InitTimeout, c.IdleTimeout, c.StopGrace, c.MaxWait) < 0 {
		problems = append(problems, fmt.Errorf("timeout %v, init timeout %v, idle timeout %v, stop grace %v or max wait %v: negative",
			c.Timeout, c.InitTimeout, c.IdleTimeout, c.StopGrace, c.MaxWait))
	}
	for _, pair := range c.Env {
		if key, _, ok := strings.Cut(pair, "="); !ok || key == "" {
			problems = append(problems, fmt.Errorf("environment entry %q: want KEY=value", pair))
		}
	}
	c.MemoryMB = cmp.Or(c.MemoryMB, defaultMemoryMB)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.MaxConcurrency = cmp.Or(c.MaxConcurrency, defaultMaxConcurrency)
	c.InitTimeout = cmp.Or(c.InitTimeout, defaultInitTimeout)
	c.StopGrace = cmp.Or(c.StopGrace, defaultStopGrace)
	c.AccountID = cmp.Or(c.AccountID, defaultAccountID)
	c.Logs = cmp.Or(c.Logs, io.Discard)
	if c.Start == nil {
		c.Start = (*exec.Cmd).Start
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, errors.Join(problems...)
}

// lookup returns the value of an entry of Env, or fallback if there is none.
func (c *Config) lookup(key, fallback string) string {
	value := fallback
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

// environ returns the whole environment of a process. Of entries with the same key
// os/exec uses the last.
func (c *Config) environ(api, logStream, taskRoot string) []string {
	region := c.lookup("AWS_REGION", defaultRegion)
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"LANG=en_US.UTF-8",
		"TZ=:UTC",
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
		// There is no metadata service; to look for one would take seconds.
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
