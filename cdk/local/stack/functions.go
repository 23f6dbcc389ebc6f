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
}

// maxWait is how long an invocation waits for one of a function's processes: in AWS it
// would get one. The integration's timeout ends the wait of a request before.
const maxWait = time.Minute

func (s *Stack) startFunctions(list []template.Function) error {
	for _, planned := range list {
		logs, err := s.openLog(planned.Program)
		if err != nil {
			return err
		}
		config := lambda.Config{
			Name: planned.Name, Binary: s.cfg.binary(planned.Program), Env: s.environment(planned),
			MemoryMB: planned.MemoryMB, Timeout: planned.Timeout, AccountID: s.plan.Account,
			ReservedConcurrency: planned.ReservedConcurrency, MaxConcurrency: s.concurrency(planned.ARN), MaxWait: maxWait,
			Logs: logs, Now: s.cfg.Now,
		}
		if s.lowPriority(planned.ARN) {
			config.Start = process.StartNice
		}
		f, err := lambda.New(config)
		if err != nil {
			return fmt.Errorf("function %s: %w", planned, err)
		}
		s.onClose("function "+planned.Program, f.Close)
		s.functions[planned.ARN] = &function{plan: planned, Function: f}
		s.printf("function   %s from %s, %d MB, %v", planned.Program, s.cfg.binary(planned.Program), planned.MemoryMB, planned.Timeout)
	}
	return nil
}

// The variables that make a function sign its writes to and its queries of Prometheus.
const (
	signWrites  = "REMOTE_WRITE_SIGV4"
	signQueries = "PROMETHEUS_SIGV4"
)

// environment returns a function's variables and the addresses of the emulators.
func (s *Stack) environment(f template.Function) []string {
	env := maps.Clone(f.Env)
	s.localICE(env, "ICE_STUN", "ICE_TURN")
	return s.environmentOf(env)
}

// environmentOf returns variables of the template with local values, and the addresses of the
// emulators.
func (s *Stack) environmentOf(variables map[string]string) []string {
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
	for _, k := range slices.Sorted(maps.Keys(variables)) {
		v := variables[k]
		if own, ok := s.secretARNs[v]; ok {
			v = own
		}
		if s.prometheus != nil {
			v = s.prometheus.localise(v)
			if k == signWrites || k == signQueries { // the local server checks none, and may support remote write 2.0
				v = "false"
			}
		}
		env = append(env, k+"="+s.localise(v))
	}
	return env
}

// concurrency returns the largest number of a function's processes: behind the API as
// configured, of a consumer as many as its shards have concurrent batches, twice since
// shards can be split.
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

// maxLiveWindow is the longest batching window of a function whose results are watched
// live: the bridge, which exports KPIs to Prometheus, has one of a second.
const maxLiveWindow = time.Second

// lowPriority reports whether a function runs at low priority: one that a schedule
// invokes, or whose batching window is longer than maxLiveWindow, is background work. One
// whose routes are all open works for strangers, who in AWS take no processor time from others.
func (s *Stack) lowPriority(arn string) bool {
	return s.worksForStrangers(arn) ||
		slices.ContainsFunc(s.plan.Schedules, func(planned template.Schedule) bool { return planned.FunctionARN == arn }) ||
		slices.ContainsFunc(s.plan.Mappings, func(m template.Mapping) bool {
			return m.FunctionARN == arn &&
				m.Settings.Window > maxLiveWindow
		})
}

// worksForStrangers reports whether a function has routes and none requires a token.
func (s *Stack) worksForStrangers(arn string) (open bool) {
	for _, api := range s.plan.APIs {
		for _, r := range api.Routes {
			if planned, ok := s.plan.Function(r.FunctionARN); ok && planned.ARN == arn {
				if r.Authorizer != "" {
					return false
				}
				open = true
			}
		}
	}
	return open
}

// function returns a function by its ARN, with or without a version.
func (s *Stack) function(arn string) (*function, error) {
	planned, ok := s.plan.Function(arn)
	if !ok || s.functions[planned.ARN] == nil {
		return nil, fmt.Errorf("local stack: function %s does not exist", arn)
	}
	return s.functions[planned.ARN], nil
}

// runTriggers invokes the functions that a deployment invokes: the migrations.
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
			return fmt.Errorf("%s: function %s: %s (log: %s)", t, f.plan.Program, result.Payload, s.cfg.path("logs", f.plan.Program+".log"))
		}
		s.printf("trigger    %s: %s", f.plan.Program, result.Payload)
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
			s.printf("mapping    %s → %s: disabled by -without", m.Settings.Stream, f.plan.Program)
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
			config.Failures = failureBucket{s.objects, m.FailureBucket, s.printf}
		}
		// The mapping outlives ctx.
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
		s.printf("mapping    %s → %s, batches of %d records or %v, %d concurrent batches per shard, failed records to %s",
			settings.Stream, f.plan.Program, settings.BatchSize, settings.Window, settings.Parallelization, m.FailureBucket)
	}
	return nil
}
