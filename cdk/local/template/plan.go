package template

import (
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/secrets"
)

// ID identifies a resource of the assembly.
type ID struct {
	Stack     string // the stack's name
	LogicalID string
}

func (id ID) String() string { return id.Stack + "/" + id.LogicalID }

// Plan lists the resources of a stage that are emulated, and those that are not.
type Plan struct {
	Stacks    []string
	Region    string
	Account   string
	Functions []Function
	Streams   []Stream
	Mappings  []Mapping
	APIs      []API
	Buckets   []Bucket
	Secrets   []Secret
	Keys      []Key
	Buses     []Bus
	Triggers  []Trigger
	Schedules []Schedule
	Rules     []Rule
	// Workspaces has at most one: there is one Prometheus server.
	Workspaces []Workspace
	RuleGroups []RuleGroups
	Tasks      []Task
	Caches     []Cache
	Skipped    []Skipped
}

// Function is an AWS::Lambda::Function that is built from a package of this module.
type Function struct {
	ID
	// Program is the function's folder below functions, and that of its binary.
	Program             string
	Name                string
	ARN                 string
	RoleARN             string
	Env                 map[string]string
	MemoryMB            int
	Timeout             time.Duration
	ReservedConcurrency int // -1 if it has none
}

// Stream is an AWS::Kinesis::Stream.
type Stream struct {
	ID
	Name      string
	ARN       string
	Shards    int // of an on-demand stream 4, as at its start
	OnDemand  bool
	Retention time.Duration
}

// Mapping is an AWS::Lambda::EventSourceMapping on one of the streams.
type Mapping struct {
	ID
	FunctionARN string
	// FailureBucket is the name of the on-failure destination's bucket, or empty.
	FailureBucket string
	Settings      eventsource.Settings
}

// API is an AWS::ApiGatewayV2::Api with the HTTP protocol.
type API struct {
	ID
	APIID string
	Name  string
	// Endpoint is the URL that the template's other resources contain. It does not exist:
	// the caller replaces it.
	Endpoint    string
	Routes      []Route
	Authorizers []Authorizer
	Stages      []APIStage
}

// Route sends requests to a function.
type Route struct {
	ID
	Key           string // "POST /v1/telemetry", "$default"
	FunctionARN   string
	PayloadFormat string        // "2.0", "1.0"
	Timeout       time.Duration // of the integration; 30 s unless the template says otherwise
	Authorizer    string        // Authorizer.AuthorizerID, or empty for an open route
}

// Authorizer is a Lambda authorizer.
type Authorizer struct {
	ID
	AuthorizerID    string
	Name            string
	FunctionARN     string
	PayloadFormat   string
	SimpleResponses bool
	IdentitySources []string // "$request.header.Authorization"
	CacheTTL        time.Duration
}

// APIStage is a stage of an API.
type APIStage struct {
	ID
	Name string
	// Default are the limits of each route that is not in Routes, whose keys are those of
	// routes.
	Default Throttle
	Routes  map[string]Throttle
}

// Throttle limits the requests to a route. A limit of -1 means the account's.
type Throttle struct {
	RateLimit  float64
	BurstLimit int
}

// Bucket is an AWS::S3::Bucket.
type Bucket struct {
	ID
	Name string
}

// Secret is an AWS::SecretsManager::Secret.
type Secret struct {
	ID
	Name string
	ARN  string // with a suffix that is derived from ID; in AWS it is random
	// Value is the template's; empty if the value is generated.
	Value    string
	Generate secrets.Generate
}

// Bus is an AWS::Events::EventBus.
type Bus struct {
	ID
	Name string
}

// Key is an AWS::KMS::Key of P-256 for signing.
type Key struct {
	ID
	KeyID string
	ARN   string
}

// Trigger is a custom resource with which the deployment invokes a function once.
type Trigger struct {
	ID
	FunctionARN string
}

// Workspace is an AWS::APS::Workspace.
type Workspace struct {
	ID
	ARN string
	// Endpoint is the URL that the template's other resources contain, with a slash at its
	// end. It does not exist: the caller replaces it.
	Endpoint string
}

// RemoteWrite returns the remote write URL in the functions' settings.
func (w Workspace) RemoteWrite() string { return w.Endpoint + "api/v1/remote_write" }

// RuleGroups is an AWS::APS::RuleGroupsNamespace.
type RuleGroups struct {
	ID
	Name         string
	WorkspaceARN string
	// Data is a rule file of Prometheus.
	Data string
}

// Group says why a resource is skipped.
type Group int

const (
	// NotNeeded means that one machine does not need the resource.
	NotNeeded Group = iota
	// NotEmulated means that the effect of the resource is missing.
	NotEmulated
)

// Skipped is a resource that is not emulated.
type Skipped struct {
	ID
	Type   string
	Group  Group
	Reason string
}
