package stack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/lambda"
	"github.com/insighthub/insighthub/cdk/local/process"
	"github.com/insighthub/insighthub/cdk/local/template"
)

// function is one of the plan's functions and its processes.
type function struct {
	plan template.Function
	*lambda.Function
	gate *gate // before the API's invocations
}

func (s *Stack) startFunctions(list []template.Function) error {
	for _, planned := range list {
		logs, err := s.openLog(planned.Program)
		if err != nil {
			return err
		}
		config := lambda.Config{
			Name: planned.Name, Binary: s.cfg.binary(planned.Program), Env: s.environment(planned),
			MemoryMB: planned.MemoryMB, Timeout: planned.Timeout, AccountID: s.plan.Account,
			ReservedConcurrency: planned.ReservedConcurrency, MaxConcurrency: s.concurrency(planned.ARN),
			Logs: logs, Now: s.cfg.Now,
		}
		if s.canWait(planned.ARN) {
			config.Start = process.Behind
		}
		f, err := lambda.New(config)
		if err != nil {
			return fmt.Errorf("function %s: %w", planned, err)
		}
		s.onClose("function "+planned.Program, f.Close)
		s.functions[planned.ARN] = &function{plan: planned, Function: f, gate: newGate(f, s.cfg.Concurrency)}
		s.say("function   %s from %s, %d MB, %v", planned.Program, s.cfg.binary(planned.Program), planned.MemoryMB, planned.Timeout)
	}
	return nil
}

// signs and asksSigned are the variables that make a function write, and ask, as the
// managed service wants it.
const (
	signs      = "REMOTE_WRITE_SIGV4"
	asksSigned = "PROMETHEUS_SIGV4"
)

// environment is the template's, and the addresses of the local services.
func (s *Stack) environment(f template.Function) []string {
	env := []string{
		"AWS_REGION=" + s.plan.Region,
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
		"AWS_ENDPOINT_URL_KINESIS=" + s.endpoints.kinesis,
		"AWS_ENDPOINT_URL_S3=" + s.endpoints.objects,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + s.endpoints.secrets,
		"AWS_ENDPOINT_URL_KMS=" + s.endpoints.kms,
		"AWS_ENDPOINT_URL_EVENTBRIDGE=" + s.endpoints.events,
		"AWS_S3_PATH_STYLE=true",
	}
	for _, k := range slices.Sorted(maps.Keys(f.Env)) {
		v := f.Env[k]
		if own, ok := s.secretARNs[v]; ok {
			v = own
		}
		if s.prometheus != nil {
			v = s.prometheus.localise(v)
			if k == signs || k == asksSigned { // the local server asks for no signature, and may speak 2.0
				v = "false"
			}
		}
		env = append(env, k+"="+s.localise(v))
	}
	return env
}

// concurrency bounds a function's processes: those behind the API by the
// configuration, a consumer by the lanes of its shards, twice since they can be split.
func (s *Stack) concurrency(arn string) int {
	n := s.cfg.Concurrency
	for _, m := range s.plan.Mappings {
		if m.FunctionARN != arn {
			continue
		}
		for _, stream := range s.plan.Streams {
			if stream.ARN == m.Settings.StreamARN {
				n = max(n, 2*stream.Shards*m.Settings.Parallelization)
			}
		}
	}
	return n
}

// worthWaiting is how long records gather for a function of whose results somebody takes
// notice at once: the figures in Prometheus come from one that waits a second.
const worthWaiting = time.Second

// canWait reports whether a function gives way to those that somebody waits for: it is
// run by a schedule, or reads a stream and lets records gather for longer than worthWaiting.
func (s *Stack) canWait(arn string) bool {
	return slices.ContainsFunc(s.plan.Schedules, func(planned template.Schedule) bool { return planned.FunctionARN == arn }) ||
		slices.ContainsFunc(s.plan.Mappings, func(m template.Mapping) bool { return m.FunctionARN == arn && m.Settings.Window > worthWaiting })
}

// function finds one by its ARN, of any version.
func (s *Stack) function(arn string) (*function, error) {
	planned, ok := s.plan.Function(arn)
	if !ok || s.functions[planned.ARN] == nil {
		return nil, fmt.Errorf("local stack: no function %s", arn)
	}
	return s.functions[planned.ARN], nil
}

// runTriggers invokes what the deployment would: the migrations.
func (s *Stack) runTriggers(ctx context.Context) error {
	for _, t := range s.plan.Triggers {
		f, err := s.function(t.FunctionARN)
		if err != nil {
			return err
		}
		result, err := f.Invoke(ctx, []byte("{}"))
		if err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
		if result.FunctionError != "" {
			return fmt.Errorf("%s: function %s: %s (its log: %s)", t, f.plan.Program, result.Payload, s.cfg.path("logs", f.plan.Program+".log"))
		}
		s.say("trigger    %s: %s", f.plan.Program, result.Payload)
	}
	return nil
}

func (s *Stack) startMappings(ctx context.Context) error {
	for _, m := range s.plan.Mappings {
		f, err := s.function(m.FunctionARN)
		if err != nil {
			return err
		}
		if slices.Contains(s.cfg.Without, f.plan.Program) {
			s.say("mapping    %s → %s: left out, as asked", m.Settings.Stream, f.plan.Program)
			continue
		}
		settings := m.Settings
		saved := checkpoints{s.checkpoints, s.stream, settings.Stream}
		if err := saved.register(settings.ID); err != nil {
			return fmt.Errorf("mapping %s: %w", m, err)
		}
		config := eventsource.Config{
			Settings: settings, Stream: source{s.stream}, Invoker: consumer{f.Function},
			Checkpoints: saved, Log: s.log, Now: s.cfg.Now, NewID: newUUID,
		}
		if m.FailureBucket != "" {
			config.Failures = failureBucket{s.objects, m.FailureBucket, s.say}
		}
		// It outlives the start.
		mapping, err := eventsource.Start(context.WithoutCancel(ctx), config)
		if err != nil {
			return fmt.Errorf("mapping %s: %w", m, err)
		}
		s.mappings = append(s.mappings, mapping)
		s.onClose("mapping "+m.String(), func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.Drain)
			defer cancel()
			return mapping.Close(ctx)
		})
		s.say("mapping    %s → %s, %d records or %v, %d lanes a shard, failures to %s",
			settings.Stream, f.plan.Program, settings.BatchSize, settings.Window, settings.Parallelization, m.FailureBucket)
	}
	return nil
}
