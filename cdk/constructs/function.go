package constructs

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// PackageMetadata is the key in the Metadata of a function's resource for the Go
// package that it is built from, relative to the module.
const PackageMetadata = "insighthub:package"

// Network is the VPC of a function and its security groups, which decide what the
// function can reach.
type Network struct {
	VPC            awsec2.Vpc
	SecurityGroups []awsec2.ISecurityGroup
}

// GoFunctionProps are the properties of a GoFunction.
type GoFunctionProps struct {
	// Name is the name of the function's directory, functions/<Name>.
	Name  string
	Stage config.Stage
	Size  config.Function
	// Dir contains a directory <Name> with the built bootstrap.
	Dir         string
	Description string
	Environment map[string]*string
	// Network is nil for a function outside the VPC.
	Network *Network
	// DeadLetters receives the events of asynchronous invocations after the last failed
	// attempt; nil for a function that is invoked synchronously.
	DeadLetters awssqs.IQueue
}

// GoFunction is a Lambda function whose code is a prebuilt bootstrap for arm64. It
// has its own log group, and its own role with the permissions that every such
// function needs.
type GoFunction struct {
	awslambda.Function
	Role awsiam.Role
}

// NewGoFunction adds a function to scope.
func NewGoFunction(scope constructs.Construct, id string, props *GoFunctionProps) GoFunction {
	part := constructs.NewConstruct(scope, jsii.String(id))
	stage := props.Stage
	logs := awslogs.NewLogGroup(part, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     LogRetention(stage.Log.RetentionDays),
		RemovalPolicy: RemovalPolicy(stage.Removal),
	})
	role := newFunctionRole(part, logs, props.Network != nil)

	p := &awslambda.FunctionProps{
		Description:   jsii.String(props.Description),
		Runtime:       awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:  awslambda.Architecture_ARM_64(),
		Handler:       jsii.String("bootstrap"),
		Code:          awslambda.Code_FromAsset(jsii.String(filepath.Join(props.Dir, props.Name)), nil),
		Role:          role,
		MemorySize:    jsii.Number(props.Size.MemoryMB),
		Timeout:       Duration(props.Size.Timeout),
		Tracing:       awslambda.Tracing_ACTIVE,
		LogGroup:      logs,
		LoggingFormat: awslambda.LoggingFormat_JSON,
		Environment:   functionEnvironment(props),
	}
	if stage.AccountConcurrency > 0 {
		p.ReservedConcurrentExecutions = jsii.Number(props.Size.ReservedConcurrency)
	}
	if props.DeadLetters != nil {
		p.DeadLetterQueue = props.DeadLetters
	}
	if n := props.Network; n != nil {
		p.Vpc = n.VPC
		p.VpcSubnets = &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_WITH_EGRESS}
		p.SecurityGroups = &n.SecurityGroups
	}
	function := awslambda.NewFunction(part, jsii.String("Function"), p)
	function.Node().DefaultChild().(awslambda.CfnFunction).
		AddMetadata(jsii.String(PackageMetadata), "functions/"+props.Name)
	return GoFunction{Function: function, Role: role}
}

// oneCPU is the memory, in MB, that comes with one whole vCPU.
const oneCPU = 1769

// functionEnvironment returns the environment of every function, with props' own added.
func functionEnvironment(props *GoFunctionProps) *map[string]*string {
	env := map[string]*string{
		"INSIGHTHUB_FUNCTION": jsii.String(props.Name),
		"INSIGHTHUB_STAGE":    jsii.String(string(props.Stage.Name)),
		"LOG_LEVEL":           jsii.String(string(props.Stage.Log.Level)),
		// Makes the garbage collector run more often before Lambda kills the process for
		// its memory; a tenth is left for memory that the Go runtime does not count.
		"GOMEMLIMIT": jsii.String(strconv.Itoa(props.Size.MemoryMB*9/10) + "MiB"),
	}
	if props.Size.MemoryMB <= oneCPU {
		// The machine reports two processors and grants the time of at most one. A
		// second running thread would look for work, be throttled, and move goroutines
		// between the caches of the two.
		env["GOMAXPROCS"] = jsii.String("1")
	}
	maps.Copy(env, props.Environment)
	return &env
}

// newFunctionRole returns a role that replaces AWS's managed execution policies,
// which allow writing to every log group of the account.
func newFunctionRole(scope constructs.Construct, logs awslogs.LogGroup, inVPC bool) awsiam.Role {
	role := awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	logs.GrantWrite(role)
	if inVPC {
		// These cannot be limited to a resource, which does not exist before.
		allow(role, []string{
			"ec2:CreateNetworkInterface",
			"ec2:DescribeNetworkInterfaces",
			"ec2:DescribeSubnets",
			"ec2:DeleteNetworkInterface",
			"ec2:AssignPrivateIpAddresses",
			"ec2:UnassignPrivateIpAddresses",
		}, jsii.String("*"))
	}
	return role
}

// Allow allows the function the actions on the resources.
func (f GoFunction) Allow(actions []string, resources ...*string) {
	allow(f.Role, actions, resources...)
}

// AllowAll allows the function the actions on the resources of a list whose elements are
// known at the deployment only.
func (f GoFunction) AllowAll(actions []string, resources *[]*string) {
	allowAll(f.Role, actions, resources)
}

func allowAll(role awsiam.Role, actions []string, resources *[]*string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings(actions...),
		Resources: resources,
	}))
}

func allow(role awsiam.Role, actions []string, resources ...*string) {
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings(actions...),
		Resources: &resources,
	}))
}

// LogRetention converts days, one of config.LogRetentionDays, to the CDK's type.
func LogRetention(days int) awslogs.RetentionDays {
	switch days {
	case 1:
		return awslogs.RetentionDays_ONE_DAY
	case 3:
		return awslogs.RetentionDays_THREE_DAYS
	case 5:
		return awslogs.RetentionDays_FIVE_DAYS
	case 7:
		return awslogs.RetentionDays_ONE_WEEK
	case 14:
		return awslogs.RetentionDays_TWO_WEEKS
	case 30:
		return awslogs.RetentionDays_ONE_MONTH
	case 60:
		return awslogs.RetentionDays_TWO_MONTHS
	case 90:
		return awslogs.RetentionDays_THREE_MONTHS
	case 180:
		return awslogs.RetentionDays_SIX_MONTHS
	case 365:
		return awslogs.RetentionDays_ONE_YEAR
	case 731:
		return awslogs.RetentionDays_TWO_YEARS
	case 1827:
		return awslogs.RetentionDays_FIVE_YEARS
	case 3653:
		return awslogs.RetentionDays_TEN_YEARS
	default:
		panic(fmt.Sprintf("log retention of %d days passed validation", days))
	}
}
