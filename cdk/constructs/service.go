package constructs

import (
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

// TaskProps are the properties of a task definition with one container.
type TaskProps struct {
	// Package is the folder of the program, or "coturn".
	Package string
	Stage   config.Stage
	Size    config.Task
	Image   awsecs.ContainerImage
	// Options are the arguments of the image's entry point.
	Options     []string
	Environment map[string]*string
	Secrets     map[string]awsecs.Secret
	Ports       []*awsecs.PortMapping
	// StopTimeout is the time between SIGTERM and SIGKILL, at most 2 minutes.
	StopTimeout time.Duration
}

// Task is a task definition of Fargate for arm64.
type Task struct {
	Definition awsecs.FargateTaskDefinition
	// Role is that of the program. Agent is that by which ECS starts it: it fetches the image
	// and the secrets, and writes the logs.
	Role, Agent awsiam.Role
}

// NewTask adds a task definition to scope.
func NewTask(scope constructs.Construct, id string, props *TaskProps) Task {
	part := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(part, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     LogRetention(props.Stage.Log.RetentionDays),
		RemovalPolicy: RemovalPolicy(props.Stage.Removal),
	})
	role := func(id string) awsiam.Role {
		return awsiam.NewRole(part, jsii.String(id), &awsiam.RoleProps{
			AssumedBy: awsiam.NewServicePrincipal(jsii.String("ecs-tasks.amazonaws.com"), nil),
		})
	}
	t := Task{Role: role("Role"), Agent: role("Agent")}
	t.Definition = awsecs.NewFargateTaskDefinition(part, jsii.String("Definition"), &awsecs.FargateTaskDefinitionProps{
		Cpu: jsii.Number(props.Size.CPU), MemoryLimitMiB: jsii.Number(props.Size.MemoryMB),
		TaskRole: t.Role, ExecutionRole: t.Agent,
		RuntimePlatform: &awsecs.RuntimePlatform{
			CpuArchitecture: awsecs.CpuArchitecture_ARM64(), OperatingSystemFamily: awsecs.OperatingSystemFamily_LINUX(),
		},
	})
	container := &awsecs.ContainerDefinitionOptions{
		ContainerName: jsii.String("main"),
		Image:         props.Image,
		Environment:   &props.Environment,
		Secrets:       &props.Secrets,
		PortMappings:  &props.Ports,
		StopTimeout:   Duration(props.StopTimeout),
		Logging:       awsecs.LogDrivers_AwsLogs(&awsecs.AwsLogDriverProps{LogGroup: logs, StreamPrefix: jsii.String("task")}),
	}
	if len(props.Options) > 0 {
		container.Command = jsii.Strings(props.Options...)
	}
	t.Definition.AddContainer(jsii.String("Main"), container)
	t.Definition.Node().DefaultChild().(awsecs.CfnTaskDefinition).AddMetadata(jsii.String(PackageMetadata), props.Package)
	return t
}

// Allow allows the program the actions on the resources.
func (t Task) Allow(actions []string, resources ...*string) { allow(t.Role, actions, resources...) }

// AllowAgent allows ECS the actions on the resources, for the start of a task.
func (t Task) AllowAgent(actions []string, resources ...*string) {
	allow(t.Agent, actions, resources...)
}

// AllowAll allows the program the actions on the resources of a list whose elements are known
// at the deployment only.
func (t Task) AllowAll(actions []string, resources *[]*string) { allowAll(t.Role, actions, resources) }

// GoEnvironment is that of every program of the platform in a container.
func GoEnvironment(stage config.Stage, size config.Task) map[string]*string {
	return map[string]*string{
		"INSIGHTHUB_STAGE": jsii.String(string(stage.Name)),
		"LOG_LEVEL":        jsii.String(string(stage.Log.Level)),
		// As for functions: the garbage collector runs more often before ECS ends the task.
		"GOMEMLIMIT": jsii.String(strconv.Itoa(size.MemoryMB*9/10) + "MiB"),
	}
}

// ServiceProps are the properties of a service of tasks with public addresses, behind a load
// balancer.
type ServiceProps struct {
	Task    Task
	Cluster awsecs.ICluster
	Group   awsec2.ISecurityGroup
	// Desired is the number of tasks; 0 leaves it to scaling.
	Desired int
	// Grace is for how long a new task may fail the load balancer's health checks.
	Grace time.Duration
}

// NewService adds a service. A deployment whose tasks do not become healthy rolls back.
func NewService(scope constructs.Construct, id string, props *ServiceProps) awsecs.FargateService {
	p := &awsecs.FargateServiceProps{
		Cluster: props.Cluster, TaskDefinition: props.Task.Definition,
		// Public addresses cost less than a NAT; the group decides who reaches the task.
		AssignPublicIp: jsii.Bool(true),
		VpcSubnets:     &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PUBLIC},
		SecurityGroups: &[]awsec2.ISecurityGroup{props.Group},
		CircuitBreaker: &awsecs.DeploymentCircuitBreaker{Enable: jsii.Bool(true), Rollback: jsii.Bool(true)},
		// The new tasks are healthy before the old ones end.
		MinHealthyPercent: jsii.Number(100), MaxHealthyPercent: jsii.Number(200),
		HealthCheckGracePeriod: Duration(props.Grace),
		PropagateTags:          awsecs.PropagatedTagSource_SERVICE,
		EnableECSManagedTags:   jsii.Bool(true),
		EnableExecuteCommand:   jsii.Bool(false),
	}
	if props.Desired > 0 {
		p.DesiredCount = jsii.Number(props.Desired)
	}
	return awsecs.NewFargateService(scope, jsii.String(id), p)
}
