// Package k6 runs the k6 scripts of this folder against a stack and writes the report.
//
// It starts a local stack if none runs. Load goes to this machine only, unless another
// host is named twice: in the URL and as the allowed host.
package k6

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/loadtest/benchfile"
	"github.com/insighthub/insighthub/loadtest/localstack"
)

// Config configures Run.
type Config struct {
	Program string   // of k6
	Folder  string   // of the scripts
	Scripts []string // their names, without .js
	// Settings of the scripts, such as RATE=50; each script documents its own.
	Settings []string
	// Out is the folder of the reports; its content is removed first.
	Out string
	// Limit is the timeout of all scripts together.
	Limit time.Duration

	// State is the state folder of a running local stack.
	State string
	// Stack is started if none runs.
	Stack localstack.Config
	// Events are stored before the scripts run; local stacks only.
	Events int64

	// URL is that of a deployed stage, AllowHost its host. AdminName and AdminPassword are
	// those of an administrator of that whole stage.
	URL, AllowHost           string
	AdminName, AdminPassword string

	Stdout, Stderr io.Writer
}

// reserved returns the settings that Run sets itself.
func reserved() []string {
	return []string{"TARGET", "ALLOW_HOST", "ADMIN_NAME", "ADMIN_PASSWORD", "OUT", "FACTS", "REPORT_WITH"}
}

// check reports every problem of a Config.
func (c Config) check() error {
	var problems []error
	expect := func(ok bool, format string, arguments ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, arguments...))
		}
	}
	expect(len(c.Scripts) > 0, "scripts: want at least one")
	for _, name := range c.Scripts {
		_, err := os.Stat(filepath.Join(c.Folder, name+".js"))
		expect(err == nil && name == filepath.Base(name), "script %q: want the name of a script in %s", name, c.Folder)
	}
	for _, setting := range c.Settings {
		name, _, ok := strings.Cut(setting, "=")
		expect(ok && name != "" && strings.ToUpper(name) == name, "setting %q: want NAME=value", setting)
		expect(!slices.Contains(reserved(), name), "setting %s: use the flag for it", name)
	}
	expect(c.Limit > 0, "limit %v: want a positive duration", c.Limit)
	expect(c.Events >= 0, "events %d: want 0 or more", c.Events)
	if c.URL != "" {
		_, err := checkTarget(c.URL, c.AllowHost)
		expect(err == nil, "%w", err)
		expect(c.Events == 0, "events %d: want 0, because events are stored in local stacks only", c.Events)
		expect(c.AdminName != "" && c.AdminPassword != "", "want INSIGHTHUB_ADMIN_NAME and INSIGHTHUB_ADMIN_PASSWORD in the environment")
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w: %w", telemetry.ErrInvalid, err)
	}
	return nil
}

// ErrThresholds says that all scripts ended and that some missed a threshold.
var ErrThresholds = errors.New("thresholds are not met")

// Run runs the scripts in turn. If one of them misses a threshold, it runs the others too
// and returns an error that wraps ErrThresholds.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	// k6 resolves relative paths in the script's folder.
	if cfg.Out, err = filepath.Abs(cfg.Out); err != nil {
		return err
	}
	if err := os.RemoveAll(cfg.Out); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // reports are for everybody
		return err
	}
	t, stop, err := cfg.target(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	facts := cfg.facts(ctx, t)
	if cfg.Events > 0 {
		filled, err := fill(ctx, cfg, t)
		if err != nil {
			return err
		}
		facts = append(facts, fact{"stored before", filled})
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Limit)
	defer cancel()
	var missed, reports []string
	for _, name := range cfg.Scripts {
		fmt.Fprintf(cfg.Stdout, "k6 runs %s.js against %s\n", name, t.url)
		err := cfg.runScript(ctx, name, t, facts, reports)
		switch {
		case errors.Is(err, ErrThresholds):
			missed = append(missed, name)
		case err != nil:
			return err
		}
		report := filepath.Join(cfg.Out, name+".json")
		reports = append(reports, report)
		stored, err := compareStored(ctx, t, report)
		if err != nil {
			return err
		}
		if stored != "" {
			fmt.Fprintf(cfg.Stdout, "%s: %s\n\n", name, stored)
			facts = append(facts, fact{"events of " + name, stored})
		}
	}
	fmt.Fprintf(cfg.Stdout, "report: %s\n        %s\n", filepath.Join(cfg.Out, "report.html"), filepath.Join(cfg.Out, "report.md"))
	if len(missed) > 0 {
		return fmt.Errorf("%w: %s", ErrThresholds, strings.Join(missed, ", "))
	}
	return nil
}

// thresholdsMissed is k6's exit code for missed thresholds.
const thresholdsMissed = 99

// stopTimeout bounds the teardown of an interrupted run.
const stopTimeout = 90 * time.Second

// runScript runs one script. k6 reads neither a configuration file nor the environment of
// this process, sends no usage report and opens no port.
func (c Config) runScript(ctx context.Context, name string, t target, facts []fact, earlier []string) error {
	cmd := exec.CommandContext(ctx, c.Program, "run", "--quiet", "--no-usage-report", "--address", "", //nolint:gosec // the user named it
		"--config", filepath.Join(c.Out, "none.json"), filepath.Join(c.Folder, name+".js"))
	if err := os.WriteFile(filepath.Join(c.Out, "none.json"), []byte("{}\n"), 0o644); err != nil { //nolint:gosec // not a secret
		return err
	}
	// k6 shares the processors with what it measures: it collects garbage a quarter as often,
	// up to a memory limit.
	cmd.Env = append([]string{"GOGC=400", "GOMEMLIMIT=2GiB"}, c.Settings...)
	cmd.Env = append(cmd.Env,
		"HOME="+c.Out, "K6_AUTO_EXTENSION_RESOLUTION=false",
		"TARGET="+t.url, "ALLOW_HOST="+c.AllowHost, "ADMIN_NAME="+t.admin, "ADMIN_PASSWORD="+t.password,
		"OUT="+c.Out, "FACTS="+object(facts), "REPORT_WITH="+strings.Join(earlier, ","))
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	// In a process group of its own, k6 gets one SIGINT, from here. At a second one it would
	// skip the teardown and the report.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTimeout
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s.js: %w", name, ctx.Err())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == thresholdsMissed {
		return ErrThresholds
	}
	if err != nil {
		return fmt.Errorf("%s.js: %w", name, err)
	}
	return nil
}

// fact is a line of the report's header.
type fact struct{ name, value string }

// facts returns the header: what was measured, and where.
func (c Config) facts(ctx context.Context, t target) []fact {
	all := []fact{{"date", time.Now().UTC().Format(time.DateTime) + " UTC"}, {"target", t.description}}
	if t.local {
		const format = "%s, %d cores, shared by the platform, its database and k6"
		all = append(all, fact{"machine", fmt.Sprintf(format, benchfile.Machine(), runtime.NumCPU())})
	}
	all = append(all, fact{"commit", benchfile.Commit(ctx)})
	if version, err := exec.CommandContext(ctx, c.Program, "version").Output(); err == nil { //nolint:gosec // the user named it
		all = append(all, fact{"k6", strings.TrimSpace(string(version))})
	}
	if len(c.Settings) > 0 {
		all = append(all, fact{"settings", strings.Join(c.Settings, " ")})
	}
	return all
}

// object encodes facts as a JSON object in their order.
func object(facts []fact) string {
	var b strings.Builder
	for i, f := range facts {
		b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
		b.Write(quoted(f.name))
		b.WriteByte(':')
		b.Write(quoted(f.value))
	}
	return b.String() + "}"
}

func quoted(s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		return []byte(`""`)
	}
	return raw
}
