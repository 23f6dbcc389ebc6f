package stacks

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Props are the properties of every stack.
type Props struct {
	Stage config.Stage
	// Functions is a directory that contains one for each function, with its bootstrap, and
	// one for each service, with its Dockerfile too.
	Functions string
	// Rules contains the Prometheus rule files, *.yaml.
	Rules fs.FS
}

// Platform is the stacks of one stage.
type Platform struct {
	Data       Data
	Monitoring Monitoring
	Telemetry  Telemetry
	API        API
	Audit      Audit
	Signaling  Signaling
}

// StageTag is the tag with the stage's name, on every resource and on every stack in
// the assembly's manifest.
const StageTag = "insighthub:stage"

// NewPlatform adds a stage's stacks to scope. It fails when the stage is not valid or the
// rules cannot be read.
func NewPlatform(scope cdkconstructs.Construct, props Props) (Platform, error) {
	if err := props.Stage.Validate(); err != nil {
		return Platform{}, fmt.Errorf("configuration: %w", err)
	}
	if err := props.Stage.ValidateAlarmTarget(); err != nil {
		return Platform{}, fmt.Errorf("configuration: %w", err)
	}
	var p Platform
	p.Data = NewData(scope, props)
	var err error
	if p.Monitoring, err = NewMonitoring(scope, props); err != nil {
		return Platform{}, err
	}
	p.Telemetry = NewTelemetry(scope, props, p.Data)
	p.API = NewAPI(scope, props, p.Data, p.Telemetry)
	p.Audit = NewAudit(scope, props, p.Data, p.API)
	if p.Signaling, err = NewSignaling(scope, props, p.Data, p.API); err != nil {
		return Platform{}, err
	}
	functions := []constructs.GoFunction{
		p.Data.Migrate, p.Data.Rollup, p.Telemetry.Store, p.Telemetry.Bridge, p.Telemetry.Detect, p.Telemetry.Clock,
		p.API.Ingest, p.API.Authorizer, p.API.Access, p.API.Resources, p.API.Refusals, p.Audit.Function,
	}
	for _, f := range functions {
		p.Monitoring.AllowRemoteWrite(f)
	}
	p.Monitoring.AllowQuery(p.API.Resources)
	p.Monitoring.AllowQuery(p.Audit.Function)
	p.watch(props.Stage)
	p.encrypt(props.Stage, functions)
	return p, nil
}

// newStack adds the stack InsightHub-<Stage>-<part>.
func newStack(scope cdkconstructs.Construct, props Props, part, description string) awscdk.Stack {
	stage := string(props.Stage.Name)
	p := &awscdk.StackProps{
		Description:           jsii.String("IoT InsightHub " + stage + ": " + description),
		TerminationProtection: jsii.Bool(props.Stage.Removal == config.Keep),
		Tags:                  &map[string]*string{StageTag: jsii.String(stage)},
	}
	if props.Stage.Account != "" {
		p.Env = &awscdk.Environment{Account: jsii.String(props.Stage.Account), Region: jsii.String(props.Stage.Region)}
	}
	title := strings.ToUpper(stage[:1]) + stage[1:]
	stack := awscdk.NewStack(scope, jsii.String("InsightHub-"+title+"-"+part), p)
	if zones := props.Stage.AvailabilityZones; len(zones) > 0 {
		// The result of the lookup that the CDK would otherwise do, and invent when it is
		// offline.
		key := "availability-zones:account=" + props.Stage.Account + ":region=" + props.Stage.Region
		stack.Node().SetContext(jsii.String(key), zones)
	}
	return stack
}

// output adds an output to the stack.
func output(stack awscdk.Stack, name string, value *string, description string) {
	awscdk.NewCfnOutput(stack, jsii.String(name), &awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
