package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/insighthub/insighthub/cdk/local/events"
	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/kinesis"
	"github.com/insighthub/insighthub/cdk/local/secrets"
	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// Stack is a running stage.
type Stack struct {
	cfg  Config
	plan *template.Plan
	log  *slog.Logger
	out  sync.Mutex // of cfg.Out

	functions   map[string]*function // by ARN
	stream      *kinesis.Server
	checkpoints *eventsource.Memory
	mappings    []*eventsource.Mapping
	database    *database // nil if the user has their own
	prometheus  *metrics  // nil if the stage has no workspace
	live        live
	secrets     *secrets.Store
	objects     *awss3.Client
	endpoints   endpoints
	events      *events.Server    // nil if the plan has no bus
	secretARNs  map[string]string // local ARNs by those of the plan
	info        stackfile.Info

	closers []closer // in the order of the start
}

// closer stops one part.
type closer struct {
	what  string
	close func(context.Context) error
}

// Run runs a stage until ctx ends, and stops it.
func Run(ctx context.Context, cfg Config) error {
	s, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.printf("Stopping; a second Ctrl-C kills the stack.")
	return s.Close(context.WithoutCancel(ctx))
}

// Start starts a stage and returns when all parts are ready. If ctx ends before that, or
// a part fails to start, the parts that run are stopped.
func Start(ctx context.Context, cfg Config) (_ *Stack, err error) {
	if cfg, err = cfg.complete(); err != nil {
		return nil, fmt.Errorf("local stack: %w", err)
	}
	s := &Stack{
		cfg: cfg, functions: make(map[string]*function), secretARNs: make(map[string]string),
		checkpoints: &eventsource.Memory{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close(context.WithoutCancel(ctx)))
		}
	}()
	// The plan first: a typo in a flag should fail before the database starts.
	if s.plan, err = readPlan(cfg); err != nil {
		return nil, err
	}
	if err := s.prepareState(); err != nil {
		return nil, err
	}
	front, err := s.listen(ctx, cfg.HTTP)
	if err != nil {
		return nil, err
	}
	s.info.HTTP = "http://" + front.Addr().String()
	s.onClose("address", func(context.Context) error {
		_ = front.Close() // if the API has not closed it
		return nil
	})
	for _, step := range []func(context.Context) error{
		s.startDatabase, s.startPrometheus, s.startSecrets, s.startKeys, s.startObjects, s.startEvents, s.startStream,
		s.startLive, s.startAllFunctions, s.runTriggers, s.startMappings,
		func(ctx context.Context) error { return s.startFront(ctx, front) },
		s.startSchedules, s.publish, s.startCommand,
	} {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("local stack: interrupted: %w", err)
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// prepareState makes the state folder and locks it.
func (s *Stack) prepareState() error {
	// The database server may run as another user, who must be able to enter the folder.
	if err := os.MkdirAll(s.cfg.path("logs"), 0o755); err != nil { //nolint:gosec // see above
		return fmt.Errorf("make the state folder: %w", err)
	}
	held, err := takeLock(s.cfg.path("lock"))
	if err != nil {
		return err
	}
	s.onClose("lock", func(context.Context) error { return held.release() })
	logs, err := s.openLog("local")
	if err != nil {
		return err
	}
	s.log = slog.New(slog.NewJSONHandler(logs, nil))
	// The file of a stack that was killed has the addresses of servers that have ended.
	switch err := os.Remove(s.cfg.path(stackfile.Name)); {
	case err == nil:
		s.printf("The previous run was killed: events that were accepted and not yet stored are lost.")
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("prepare the state folder: %w", err)
	}
	return nil
}

// openLog opens the log of a part. The log of the previous run becomes NAME.log.1.
func (s *Stack) openLog(name string) (*os.File, error) {
	path := s.cfg.path("logs", name+".log")
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open log: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // the user's own logs
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	s.onClose("log of "+name, func(context.Context) error { return file.Close() })
	return file, nil
}

func (s *Stack) onClose(what string, f func(context.Context) error) {
	s.closers = append(s.closers, closer{what, f})
}

// Close stops all parts in the reverse order of their start: the command, the API
// (requests in flight are completed), the mappings (batches in flight are completed), the
// functions, the live path, the stream (it is saved), Prometheus, the database.
func (s *Stack) Close(ctx context.Context) error {
	var problems []error
	for len(s.closers) > 0 {
		last := s.closers[len(s.closers)-1]
		s.closers = s.closers[:len(s.closers)-1]
		if err := last.close(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stop %s: %w", last.what, err))
		}
	}
	return errors.Join(problems...)
}

// printf prints one line for the user.
func (s *Stack) printf(format string, args ...any) {
	s.out.Lock()
	defer s.out.Unlock()
	fmt.Fprintf(s.cfg.Out, format+"\n", args...)
}

// Info returns the addresses of the stack's parts.
func (s *Stack) Info() stackfile.Info { return s.info }

// Lag returns the number of records that were read from the stream and not stored yet.
func (s *Stack) Lag() int {
	n := 0
	for _, m := range s.mappings {
		n += m.Lag()
	}
	return n
}

// Idle reports whether every record of the stream was stored or discarded.
func (s *Stack) Idle() bool {
	for _, m := range s.mappings {
		if !m.Idle() {
			return false
		}
	}
	return true
}

// readPlan reads the assembly and checks that the functions are built.
func readPlan(cfg Config) (*template.Plan, error) {
	plan, err := template.Read(cfg.Assembly, cfg.Stage)
	if errors.Is(err, template.ErrNoAssembly) {
		return nil, fmt.Errorf("local stack: %w; run `make synth`", err)
	}
	if err != nil {
		return nil, fmt.Errorf("local stack: %w", err)
	}
	if len(plan.Workspaces) > 0 {
		if _, err := os.Stat(cfg.prometheus()); err != nil {
			return nil, fmt.Errorf("local stack: Prometheus is not installed in %s; run `make tools`: %w", cfg.Prometheus, err)
		}
	}
	for _, program := range cfg.programs(plan) {
		if _, err := os.Stat(program.file); err != nil {
			return nil, fmt.Errorf("local stack: %s is not installed; run `make tools`: %w", program.name, err)
		}
	}
	for _, f := range plan.Functions {
		if _, err := os.Stat(cfg.binary(f.Program)); err != nil {
			return nil, fmt.Errorf("local stack: %s is not built; run `make build`: %w", f, err)
		}
	}
	return plan, nil
}
