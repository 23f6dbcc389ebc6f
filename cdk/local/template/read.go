package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
)

// onDemandShards is the number of shards that an on-demand stream starts with.
const onDemandShards = 4

// Read reads the assembly in dir and returns the plan of a stage.
func Read(dir, stage string) (*Plan, error) {
	found, err := readAssembly(dir)
	if err != nil {
		return nil, err
	}
	list, err := ofStage(found, stage)
	if err != nil {
		return nil, err
	}
	all, err := newStacks(list)
	if err != nil {
		return nil, err
	}
	all.dir = dir
	p := &Plan{Region: list[0].region, Account: list[0].account}
	for _, s := range list {
		p.Stacks = append(p.Stacks, s.name)
		for _, id := range slices.Sorted(maps.Keys(s.template.Resources)) {
			r := newResolver(all, s)
			if err := p.add(r, id); err != nil {
				return nil, err
			}
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// add adds one resource to the plan.
func (p *Plan) add(r *resolver, id string) error {
	res := r.stack.template.Resources[id]
	f := newFields(r, id)
	wanted, err := r.named(res.Condition)
	if err != nil {
		return fmt.Errorf("%s: %w", f.id, err)
	}
	if !wanted {
		return nil
	}
	switch res.Type {
	case "AWS::Lambda::Function":
		p.addFunction(f, res)
	case "AWS::Kinesis::Stream":
		p.addStream(f)
	case "AWS::Lambda::EventSourceMapping":
		p.addMapping(f)
	case "AWS::ApiGatewayV2::Api":
		p.addAPI(f)
	case "AWS::ApiGatewayV2::Route":
		p.addRoute(f)
	case "AWS::ApiGatewayV2::Authorizer":
		p.addAuthorizer(f)
	case "AWS::ApiGatewayV2::Stage":
		p.addStage(f)
	case "AWS::ApiGatewayV2::Integration": // read with its route
	case "AWS::S3::Bucket":
		p.Buckets = append(p.Buckets, Bucket{ID: f.id, Name: f.physical()})
	case "AWS::SecretsManager::Secret":
		p.addSecret(f)
	case keyType:
		p.addKey(f)
	case busType:
		p.Buses = append(p.Buses, Bus{ID: f.id, Name: f.physical()})
	case "Custom::Trigger":
		p.Triggers = append(p.Triggers, Trigger{ID: f.id, FunctionARN: f.text("HandlerArn")})
	case ruleType:
		p.addRule(f)
	case scheduleType:
		p.addScheduler(f)
	case workspaceType:
		p.addWorkspace(f)
	case ruleGroupsType:
		p.addRuleGroups(f)
	case taskType:
		p.addTask(f, res)
	case valkeyType:
		p.Caches = append(p.Caches, Cache{f.id})
	default:
		p.skip(f.id, res.Type)
	}
	return f.err
}

func (f *fields) physical() string {
	s, err := f.r.physicalID(f.id.LogicalID)
	if err != nil {
		f.fail("name", err)
	}
	return s
}

func (f *fields) attribute(name string) string {
	s, err := f.r.attribute(f.id.LogicalID, name)
	if err != nil {
		f.fail(name, err)
	}
	return s
}

func (p *Plan) addFunction(f *fields, res resource) {
	runtime := f.text("Runtime")
	if !strings.HasPrefix(runtime, "provided") {
		p.skipFunction(f.id, res, runtime)
		return
	}
	env := f.textMap("Environment.Variables")
	program := env["INSIGHTHUB_FUNCTION"]
	if source, ok := res.Metadata["insighthub:package"].(string); ok && program == "" {
		program = strings.TrimPrefix(source, "functions/")
	}
	if program == "" {
		p.Skipped = append(p.Skipped, Skipped{f.id, res.Type, NotEmulated, "its metadata names no package of this module"})
		return
	}
	p.Functions = append(p.Functions, Function{
		ID: f.id, Program: program, Name: f.physical(), ARN: f.attribute("Arn"), RoleARN: f.text("Role"), Env: env,
		MemoryMB: f.integer("MemorySize", 128), Timeout: f.seconds("Timeout", 3*time.Second),
		ReservedConcurrency: f.integer("ReservedConcurrentExecutions", -1),
	})
}

func (p *Plan) addStream(f *fields) {
	s := Stream{
		ID: f.id, Name: f.physical(), ARN: f.attribute("Arn"),
		OnDemand:  f.text("StreamModeDetails.StreamMode") == "ON_DEMAND",
		Shards:    f.integer("ShardCount", onDemandShards),
		Retention: time.Duration(f.integer("RetentionPeriodHours", 24)) * time.Hour,
	}
	p.Streams = append(p.Streams, s)
}

func (p *Plan) addMapping(f *fields) {
	// A consumer with enhanced fan-out reads the same records.
	stream, _, _ := strings.Cut(f.text("EventSourceArn"), "/consumer/")
	if stream != "" && !strings.HasPrefix(stream, "arn:aws:kinesis:") {
		p.Skipped = append(p.Skipped, Skipped{
			f.id, "AWS::Lambda::EventSourceMapping", NotEmulated,
			"its source is not a Kinesis stream: " + stream,
		})
		return
	}
	if f.text("Enabled") == "false" {
		p.Skipped = append(p.Skipped, Skipped{f.id, "AWS::Lambda::EventSourceMapping", NotNeeded, "the template disables it"})
		return
	}
	m := Mapping{
		ID: f.id, FunctionARN: functionARN(f.text("FunctionName"), f.r),
		FailureBucket: strings.TrimPrefix(f.text("DestinationConfig.OnFailure.Destination"), "arn:aws:s3:::"),
		Settings: eventsource.Settings{
			ID: eventsource.MappingID(f.physical()), StreamARN: stream, Region: f.r.stack.region,
			Stream:             stream[strings.LastIndexByte(stream, '/')+1:],
			BatchSize:          f.integer("BatchSize", 100),
			Window:             f.seconds("MaximumBatchingWindowInSeconds", 0),
			Parallelization:    f.integer("ParallelizationFactor", 1),
			BisectOnError:      f.boolean("BisectBatchOnFunctionError"),
			MaxRetries:         f.integer("MaximumRetryAttempts", eventsource.Infinite),
			MaxRecordAge:       f.seconds("MaximumRecordAgeInSeconds", eventsource.Infinite),
			ReportItemFailures: slices.Contains(f.texts("FunctionResponseTypes"), "ReportBatchItemFailures"),
			StartingPosition:   eventsource.Position(f.text("StartingPosition")),
			TumblingWindow:     f.seconds("TumblingWindowInSeconds", 0),
			Filtered:           f.get("FilterCriteria") != nil,
		},
	}
	if at := f.number("StartingPositionTimestamp", 0); at > 0 {
		m.Settings.StartingTimestamp = time.UnixMilli(int64(at * 1000)).UTC()
	}
	m.Settings.FunctionARN = m.FunctionARN
	p.Mappings = append(p.Mappings, m)
}

func (p *Plan) addSecret(f *fields) {
	name, err := f.r.nameOf(f.id.LogicalID, "Name", 512)
	if err != nil {
		f.fail("Name", err)
	}
	s := Secret{ID: f.id, ARN: f.physical(), Name: name, Value: f.text("SecretString")}
	raw, err := json.Marshal(f.get("GenerateSecretString"))
	if err == nil {
		err = json.Unmarshal(raw, &s.Generate)
	}
	if err != nil {
		f.fail("GenerateSecretString", err)
	}
	p.Secrets = append(p.Secrets, s)
}

// busType is the type of EventBridge buses.
const busType = "AWS::Events::EventBus"

// keyType is the type of keys that sign, and of those that encrypt, which are not emulated.
const keyType = "AWS::KMS::Key"

func (p *Plan) addKey(f *fields) {
	spec, usage := f.text("KeySpec"), f.text("KeyUsage")
	switch {
	case spec == "ECC_NIST_P256" && usage == "SIGN_VERIFY":
		p.Keys = append(p.Keys, Key{ID: f.id, KeyID: f.physical(), ARN: f.attribute("Arn")})
	case usage == "" || usage == "ENCRYPT_DECRYPT":
		p.skip(f.id, keyType)
	default:
		p.Skipped = append(p.Skipped, Skipped{
			f.id, keyType, NotEmulated,
			"only P-256 keys that sign are emulated; it is " + spec + " for " + usage,
		})
	}
}

// functionARN returns the ARN of a function given by its name, ARN, or ARN with a version.
func functionARN(name string, r *resolver) string {
	const partsOfARN = 7 // arn:aws:lambda:region:account:function:name
	if !strings.HasPrefix(name, "arn:") {
		return r.arn("lambda", "function:"+name)
	}
	parts := strings.Split(name, ":")
	return strings.Join(parts[:min(len(parts), partsOfARN)], ":")
}

// Function returns the function with an ARN, with or without a version.
func (p *Plan) Function(arn string) (Function, bool) {
	for _, f := range p.Functions {
		if arn == f.ARN || strings.HasPrefix(arn, f.ARN+":") {
			return f, true
		}
	}
	return Function{}, false
}

// check returns an error for references to functions and streams that the plan does not
// have, and completes the mappings with the roles of their functions. It removes rules
// whose workspace is not in the plan.
func (p *Plan) check() error {
	p.dropRuleGroups()
	missing := func(id ID, what, arn string) error {
		return fmt.Errorf("%s: the stacks have no %s %q", id, what, arn)
	}
	for i, m := range p.Mappings {
		f, ok := p.Function(m.FunctionARN)
		if !ok {
			return missing(m.ID, "function", m.FunctionARN)
		}
		p.Mappings[i].Settings.RoleARN = f.RoleARN
		if !slices.ContainsFunc(p.Streams, func(s Stream) bool { return s.ARN == m.Settings.StreamARN }) {
			return missing(m.ID, "stream", m.Settings.StreamARN)
		}
	}
	for _, t := range p.Triggers {
		if _, ok := p.Function(t.FunctionARN); !ok {
			return missing(t.ID, "function", t.FunctionARN)
		}
	}
	for _, a := range p.APIs {
		for _, r := range a.Routes {
			if _, ok := p.Function(r.FunctionARN); !ok {
				return missing(r.ID, "function", r.FunctionARN)
			}
		}
		for _, h := range a.Authorizers {
			if _, ok := p.Function(h.FunctionARN); !ok {
				return missing(h.ID, "function", h.FunctionARN)
			}
		}
	}
	for _, s := range p.Schedules {
		if _, ok := p.Function(s.FunctionARN); !ok {
			return missing(s.ID, "function", s.FunctionARN)
		}
	}
	for _, r := range p.Rules {
		if _, ok := p.Function(r.FunctionARN); !ok {
			return missing(r.ID, "function", r.FunctionARN)
		}
	}
	return nil
}
