package template

import (
	"time"

	"github.com/insighthub/insighthub/cdk/local/eventsource"
	"github.com/insighthub/insighthub/cdk/local/secrets"
)

// ID says where in the assembly a resource stands.
type ID struct {
	Stack     string // the stack's name
	LogicalID string
}

func (id ID) String() string { return id.Stack + "/" + id.LogicalID }

// Plan is what of an assembly can run here, and what can not.
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
	// Workspaces has one at most: the server that it stands for is one here.
	Workspaces []Workspace
	RuleGroups []RuleGroups
	Skipped    []Skipped
}

// Function is an AWS::Lambda::Function that is built from a package of this module.
type Function struct {
	ID
	// Program is the function's directory under functions, and of its binary.
	Program             string
	Name                string
	ARN                 string
	RoleARN             string
	Env                 map[string]string
	MemoryMB            int
	Timeout             time.Duration
	ReservedConcurrency int // -1: none
}

// Stream is an AWS::Kinesis::Stream.
type Stream struct {
	ID
	Name      string
	ARN       string
	Shards    int // those that an on-demand stream starts with: 4
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
	// Endpoint is what the template's other resources are told. Nobody answers
	// there: who runs the plan replaces it.
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

// APIStage is a stage of an API; zero limits mean the account's.
type APIStage struct {
	ID
	Name       string
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
	ARN  string // in which the ending that AWS makes up is derived from ID
	// Value is what the template says; empty when it is generated.
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

// Trigger is a custom resource by which the deployment invokes a function once.
type Trigger struct {
	ID
	FunctionARN string
}

// Workspace is an AWS::APS::Workspace.
type Workspace struct {
	ID
	ARN string
	// Endpoint is what the template's other resources are told, with a slash at its
	// end. Nobody answers there: who runs the plan replaces it.
	Endpoint string
}

// RemoteWrite is where the functions believe that the workspace takes samples.
func (w Workspace) RemoteWrite() string { return w.Endpoint + "api/v1/remote_write" }

// RuleGroups is an AWS::APS::RuleGroupsNamespace.
type RuleGroups struct {
	ID
	Name         string
	WorkspaceARN string
	// Data is a file of Prometheus's recording and alerting rules.
	Data string
}

// Group says why a resource does not run here.
type Group int

const (
	// NeedsNone is a resource that one machine does without.
	NeedsNone Group = iota
	// NoBody is a resource that has no counterpart here, so what it does is missing.
	NoBody
)

// Skipped is a resource that does not run here.
type Skipped struct {
	ID
	Type   string
	Group  Group
	Reason string
}
