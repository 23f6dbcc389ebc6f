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

// Props is what every stack gets.
type Props struct {
	Stage config.Stage
	// Functions holds a directory per function with its built bootstrap.
	Functions string
	// Rules holds the files of Prometheus's rules, *.yaml.
	Rules fs.FS
}

// Platform is the stacks of one stage.
type Platform struct {
	Data       Data
	Monitoring Monitoring
	Telemetry  Telemetry
	API        API
	Audit      Audit
}

// StageTag is the tag of every resource, and of every stack in the assembly's
// manifest, that names the stage.
const StageTag = "insighthub:stage"

// NewPlatform adds a stage's stacks to scope, or says what is wrong with the stage.
func NewPlatform(scope cdkconstructs.Construct, props Props) (Platform, error) {
	if err := props.Stage.Validate(); err != nil {
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
	for _, f := range []constructs.GoFunction{p.Data.Migrate, p.Data.Rollup, p.Telemetry.Store, p.Telemetry.Bridge, p.Telemetry.Detect, p.API.Ingest, p.API.Authorizer, p.API.Access, p.API.Resources, p.API.Refusals, p.Audit.Function} {
		p.Monitoring.Receive(f)
	}
	p.Monitoring.Answer(p.API.Resources)
	p.Monitoring.Answer(p.Audit.Function)
	return p, nil
}

// newStack is called InsightHub-<Stage>-<part>.
func newStack(scope cdkconstructs.Construct, props Props, part, description string) awscdk.Stack {
	stage := string(props.Stage.Name)
	p := &awscdk.StackProps{
		Description: jsii.String("IoT InsightHub " + stage + ": " + description),
		// Losing the stack would be losing what people rely on.
		TerminationProtection: jsii.Bool(props.Stage.Removal == config.Keep),
		Tags:                  &map[string]*string{StageTag: jsii.String(stage)},
	}
	if props.Stage.Account != "" {
		p.Env = &awscdk.Environment{Account: jsii.String(props.Stage.Account), Region: jsii.String(props.Stage.Region)}
	}
	title := strings.ToUpper(stage[:1]) + stage[1:]
	stack := awscdk.NewStack(scope, jsii.String("InsightHub-"+title+"-"+part), p)
	if zones := props.Stage.AvailabilityZones; len(zones) > 0 {
		// The answer to the look-up that the CDK would otherwise ask for, and
		// invent when it is offline.
		key := "availability-zones:account=" + props.Stage.Account + ":region=" + props.Stage.Region
		stack.Node().SetContext(jsii.String(key), zones)
	}
	return stack
}

// output makes a value of the stack visible to those who deploy it.
func output(stack awscdk.Stack, name string, value *string, description string) {
	awscdk.NewCfnOutput(stack, jsii.String(name), &awscdk.CfnOutputProps{Value: value, Description: jsii.String(description)})
}
