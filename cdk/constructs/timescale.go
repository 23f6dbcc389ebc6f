package constructs

import (
	_ "embed" // timescale.sh
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
)

//go:embed timescale.sh
var timescaleScript string

const (
	postgresPort = 5432
	databaseTag  = "insighthub:database"
	databaseName = "insighthub"
	databaseUser = "insighthub"
)

// TimescaleInstanceProps are the properties of a TimescaleInstance.
type TimescaleInstanceProps struct {
	Stage config.Stage
	VPC   awsec2.IVpc
	// Client is the security group whose members may connect.
	Client awsec2.ISecurityGroup
}

// TimescaleInstance is an EC2 instance with TimescaleDB. The data is on a separate
// encrypted volume and the address is a private DNS name, so that both survive when
// the instance is replaced. An Auto Scaling group of one replaces a failed instance. A
// new image or script never replaces the running instance; it takes effect with the
// next one.
type TimescaleInstance struct {
	Scope constructs.Construct
	// Secret is a JSON object with host, port, username, password and dbname, to which the
	// instance adds ca: the certificate of the authority of its own.
	Secret awssecretsmanager.ISecret
	Volume awsec2.Volume

	stage config.StageName
	group awsautoscaling.AutoScalingGroup
}

// NewTimescaleInstance adds a database to scope.
func NewTimescaleInstance(scope constructs.Construct, id string, props *TimescaleInstanceProps) TimescaleInstance {
	part := constructs.NewConstruct(scope, jsii.String(id))
	stage, settings := props.Stage, props.Stage.Database
	// A volume is in one availability zone, and so is the instance that attaches it.
	subnet := (*props.VPC.PrivateSubnets())[0]

	zone := awsroute53.NewPrivateHostedZone(part, jsii.String("Zone"), &awsroute53.PrivateHostedZoneProps{
		ZoneName: jsii.String(string(stage.Name) + ".insighthub.internal"),
		Vpc:      props.VPC,
	})
	// The machine writes its address there, and CloudFormation does not delete a zone with
	// records: destroying the stage leaves it.
	zone.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN)
	host := "db." + string(stage.Name) + ".insighthub.internal"
	secret := databaseSecret(part, host, RemovalPolicy(stage.Removal))

	volume := awsec2.NewVolume(part, jsii.String("Data"), &awsec2.VolumeProps{
		AvailabilityZone: subnet.AvailabilityZone(),
		Encrypted:        jsii.Bool(true),
		VolumeType:       awsec2.EbsDeviceVolumeType_GP3,
		Size:             awscdk.Size_Gibibytes(jsii.Number(settings.VolumeGiB)),
		Iops:             jsii.Number(settings.VolumeIOPS),
		RemovalPolicy:    RemovalPolicy(stage.Removal),
	})
	// In MiB/s; the meaning of the L2 construct's property depends on the volume type.
	volume.Node().DefaultChild().(awsec2.CfnVolume).SetThroughput(jsii.Number(settings.VolumeMBps))
	awscdk.Tags_Of(volume).Add(jsii.String(databaseTag), jsii.String(string(stage.Name)), nil)

	group := databaseGroup(part, props, subnet)
	awscdk.Tags_Of(group).Add(jsii.String(databaseTag), jsii.String(string(stage.Name)), nil)

	stack := awscdk.Stack_Of(part)
	logicalID := stack.GetLogicalId(group.Node().DefaultChild().(awscdk.CfnElement))
	addScript(group, map[string]*string{
		"AWS_DEFAULT_REGION": stack.Region(),
		"STACK":              stack.StackName(),
		"GROUP":              logicalID,
		"VOLUME":             volume.VolumeId(),
		"SECRET":             secret.SecretArn(),
		"ZONE":               zone.HostedZoneId(),
		"NAME":               jsii.String(host),
		"STAGE":              jsii.String(string(stage.Name)),
		"CONNECTIONS":        jsii.String(strconv.Itoa(config.MaxDatabaseConnections)),
	})
	grantInstance(group.Role(), stack, volume, zone, stage.Name)
	secret.GrantRead(group.Role(), nil)
	// The tag insighthub:volume names the volume that holds the database, and the member ca the
	// certificate of its authority (timescale.sh).
	group.Role().AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("secretsmanager:PutSecretValue", "secretsmanager:TagResource"),
		Resources: &[]*string{secret.SecretArn()},
	}))
	allowMetrics(group.Role())
	return TimescaleInstance{Scope: part, Secret: secret, Volume: volume, stage: stage.Name, group: group}
}

func databaseSecret(scope constructs.Construct, host string, removal awscdk.RemovalPolicy) awssecretsmanager.Secret {
	return awssecretsmanager.NewSecret(scope, jsii.String("Secret"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Address and password of the event database"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			// Do not edit: CloudFormation would generate another password, and lose the ca. The
			// functions always verify the server, whatever sslmode says.
			SecretStringTemplate: jsii.String(fmt.Sprintf(
				`{"host":%q,"port":%d,"username":%q,"dbname":%q,"sslmode":"require"}`,
				host, postgresPort, databaseUser, databaseName)),
			GenerateStringKey:  jsii.String("password"),
			PasswordLength:     jsii.Number(40),
			ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: removal,
	})
}

func databaseGroup(scope constructs.Construct, props *TimescaleInstanceProps, subnet awsec2.ISubnet) awsautoscaling.AutoScalingGroup {
	firewall := awsec2.NewSecurityGroup(scope, jsii.String("Firewall"), &awsec2.SecurityGroupProps{
		Vpc:         props.VPC,
		Description: jsii.String("The database: connections from its clients, packages from the internet"),
		// It installs Debian packages and calls AWS's APIs.
		AllowAllOutbound: jsii.Bool(true),
	})
	firewall.Connections().AllowFrom(props.Client, awsec2.Port_Tcp(jsii.Number(postgresPort)), jsii.String("PostgreSQL"))

	template := awsec2.NewLaunchTemplate(scope, jsii.String("Template"), &awsec2.LaunchTemplateProps{
		InstanceType: awsec2.NewInstanceType(jsii.String(props.Stage.Database.InstanceType)),
		// The same distribution as in the local stack and the tests, and so the same build
		// of PostgreSQL and TimescaleDB.
		MachineImage: &Image{
			ID: "MachineImage", Parameter: "/aws/service/debian/release/13/latest/arm64", Label: props.Stage.Database.Image,
		},
		Role: awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
			AssumedBy: awsiam.NewServicePrincipal(jsii.String("ec2.amazonaws.com"), nil),
		}),
		SecurityGroup:      firewall,
		UserData:           awsec2.UserData_ForLinux(nil),
		RequireImdsv2:      jsii.Bool(true),
		DetailedMonitoring: jsii.Bool(true),
		EbsOptimized:       jsii.Bool(true),
		BlockDevices: &[]*awsec2.BlockDevice{{
			DeviceName: jsii.String("/dev/xvda"),
			Volume: awsec2.BlockDeviceVolume_Ebs(jsii.Number(16), &awsec2.EbsDeviceOptions{
				Encrypted:  jsii.Bool(true),
				VolumeType: awsec2.EbsDeviceVolumeType_GP3,
			}),
		}},
	})
	group := awsautoscaling.NewAutoScalingGroup(scope, jsii.String("Group"), &awsautoscaling.AutoScalingGroupProps{
		Vpc:            props.VPC,
		VpcSubnets:     &awsec2.SubnetSelection{Subnets: &[]awsec2.ISubnet{subnet}},
		LaunchTemplate: template,
		MinCapacity:    jsii.Number(1),
		MaxCapacity:    jsii.Number(1),
		// The deployment waits until the database accepts connections.
		Signals: awsautoscaling.Signals_WaitForMinCapacity(&awsautoscaling.SignalsOptions{
			Timeout: awscdk.Duration_Minutes(jsii.Number(20)),
		}),
	})
	// The instance installs packages as soon as it starts.
	group.Node().AddDependency(subnet.InternetConnectivityEstablished())
	return group
}

// addScript sets the group's user data to the variables and the script.
func addScript(group awsautoscaling.AutoScalingGroup, variables map[string]*string) {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		group.UserData().AddCommands(jsii.String(fmt.Sprintf("export %s='%s'", name, *variables[name])))
	}
	group.UserData().AddCommands(jsii.String(timescaleScript))
}

// grantInstance allows the instance to attach the volume, update the DNS record and
// signal the stack.
func grantInstance(role awsiam.IRole, stack awscdk.Stack, volume awsec2.Volume, zone awsroute53.IHostedZone, stage config.StageName) {
	arn := func(service, resource string) *string {
		return stack.FormatArn(&awscdk.ArnComponents{
			Service:      jsii.String(service),
			Resource:     jsii.String(resource),
			ResourceName: jsii.String("*"),
		})
	}
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings("ec2:AttachVolume"),
		Resources: &[]*string{
			arn("ec2", "instance"),
			stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("ec2"), Resource: jsii.String("volume"), ResourceName: volume.VolumeId(),
			}),
		},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:ResourceTag/" + databaseTag: string(stage)}},
	}))
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("route53:ChangeResourceRecordSets"),
		Resources: &[]*string{zone.HostedZoneArn()},
	}))
	role.AddToPrincipalPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("cloudformation:SignalResource"),
		Resources: &[]*string{stack.StackId()},
	}))
}
