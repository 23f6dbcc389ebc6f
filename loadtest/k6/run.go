// Package k6 runs the project's k6 scripts, which are in this folder, against a running
// stack and keeps the report.
//
// It starts the local stack when none runs. Load goes to this machine only, unless
// another host is named twice: in the address and as allowed.
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

// Config says what to run, and against what.
type Config struct {
	Program string   // k6
	Folder  string   // of the scripts
	Scripts []string // their names, without .js
	// Settings of the scripts, such as RATE=50; each script says which it has.
	Settings []string
	// Out is the folder for the reports; what is in it from an earlier run is replaced.
	Out string
	// Limit is the most that the scripts may take together.
	Limit time.Duration

	// State is the folder in which a running local stack is looked for.
	State string
	// Stack is started when none runs.
	Stack localstack.Config
	// Events are stored before the scripts run; local stacks only.
	Events int64

	// URL is another stage than the local stack, AllowHost its host once more. There
	// AdminName and AdminPassword are an administrator of the whole platform.
	URL, AllowHost           string
	AdminName, AdminPassword string

	Stdout, Stderr io.Writer
}

// settings that the launcher makes itself.
func reserved() []string {
	return []string{"TARGET", "ALLOW_HOST", "ADMIN_NAME", "ADMIN_PASSWORD", "OUT", "FACTS", "REPORT_WITH"}
}

// check reports everything that is wrong with a Config.
func (c Config) check() error {
	var problems []error
	expect := func(ok bool, format string, arguments ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, arguments...))
		}
	}
	expect(len(c.Scripts) > 0, "no script")
	for _, name := range c.Scripts {
		_, err := os.Stat(filepath.Join(c.Folder, name+".js"))
		expect(err == nil && name == filepath.Base(name), "script %q: want one of %s", name, c.Folder)
	}
	for _, setting := range c.Settings {
		name, _, ok := strings.Cut(setting, "=")
		expect(ok && name != "" && strings.ToUpper(name) == name, "setting %q: want NAME=value", setting)
		expect(!slices.Contains(reserved(), name), "setting %s: there is a flag for it", name)
	}
	expect(c.Limit > 0, "limit: want a time")
	expect(c.Events >= 0, "events: want a number")
	if c.URL != "" {
		_, err := checkTarget(c.URL, c.AllowHost)
		expect(err == nil, "%w", err)
		expect(c.Events == 0, "events: only a local stack is filled")
		expect(c.AdminName != "" && c.AdminPassword != "", "want an administrator's name and password in the environment")
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", telemetry.ErrInvalid, errors.Join(problems...))
}

// ErrLimits says that the scripts ran to their ends, and limits are not met.
var ErrLimits = errors.New("limits are not met")

// Run runs the scripts one after the other. The error wraps ErrLimits when one of them
// misses a threshold; the others run all the same.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	// k6 writes next to its script otherwise.
	if cfg.Out, err = filepath.Abs(cfg.Out); err != nil {
		return err
	}
	if err := os.RemoveAll(cfg.Out); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil { //nolint:gosec // a report is for everybody
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
		facts = append(facts, fact{"before", filled})
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Limit)
	defer cancel()
	var missed, reports []string
	for _, name := range cfg.Scripts {
		fmt.Fprintf(cfg.Stdout, "k6 runs %s.js against %s\n", name, t.url)
		err := cfg.runScript(ctx, name, t, facts, reports)
		switch {
		case errors.Is(err, ErrLimits):
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
			facts = append(facts, fact{"stored of " + name, stored})
		}
	}
	fmt.Fprintf(cfg.Stdout, "report: %s\n        %s\n", filepath.Join(cfg.Out, "report.html"), filepath.Join(cfg.Out, "report.md"))
	if len(missed) > 0 {
		return fmt.Errorf("%w: %s", ErrLimits, strings.Join(missed, ", "))
	}
	return nil
}

// thresholdsMissed is k6's exit code for it.
const thresholdsMissed = 99

// stopAfter is how long k6 has to end a run that was interrupted.
const stopAfter = 90 * time.Second

// runScript runs one script. What k6 knows comes from the arguments alone: neither a
// configuration of its own nor the environment of this process is read, nothing is
// reported to k6's makers, and no port is opened.
func (c Config) runScript(ctx context.Context, name string, t target, facts []fact, earlier []string) error {
	cmd := exec.CommandContext(ctx, c.Program, "run", "--quiet", "--no-usage-report", "--address", "", //nolint:gosec // the user named it
		"--config", filepath.Join(c.Out, "none.json"), filepath.Join(c.Folder, name+".js"))
	if err := os.WriteFile(filepath.Join(c.Out, "none.json"), []byte("{}\n"), 0o644); err != nil { //nolint:gosec // nothing is in it
		return err
	}
	// k6 shares its processors with what it measures here: it collects its memory a quarter as
	// often, up to a bound.
	cmd.Env = append([]string{"GOGC=400", "GOMEMLIMIT=2GiB"}, c.Settings...)
	cmd.Env = append(cmd.Env,
		"HOME="+c.Out, "K6_AUTO_EXTENSION_RESOLUTION=false",
		"TARGET="+t.url, "ALLOW_HOST="+c.AllowHost, "ADMIN_NAME="+t.admin, "ADMIN_PASSWORD="+t.password,
		"OUT="+c.Out, "FACTS="+object(facts), "REPORT_WITH="+strings.Join(earlier, ","))
	cmd.Stdout, cmd.Stderr = c.Stdout, c.Stderr
	// A group of its own: Ctrl-C comes from here, once. On a second one k6 gives up
	// what it made and the report.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopAfter
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("%s.js: %w", name, ctx.Err())
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == thresholdsMissed {
		return ErrLimits
	}
	if err != nil {
		return fmt.Errorf("%s.js: %w", name, err)
	}
	return nil
}

// fact is a line at the head of the report.
type fact struct{ name, value string }

// facts says what was measured where.
func (c Config) facts(ctx context.Context, t target) []fact {
	all := []fact{{"date", time.Now().UTC().Format(time.DateTime) + " UTC"}, {"target", t.what}}
	if t.local {
		all = append(all, fact{"machine", fmt.Sprintf("%s, %d cores, shared by the platform, its database and k6", benchfile.Machine(), runtime.NumCPU())})
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

// object writes facts as a JSON object that keeps their order.
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
