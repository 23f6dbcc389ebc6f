package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdlm"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// newDatabaseNetwork adds a VPC of two availability zones with one NAT. The database
// needs it to install packages, and it costs less than an interface endpoint for each
// AWS service and zone (7 dollars a month each). S3 has a free gateway endpoint.
func (d *Data) newDatabaseNetwork(stage config.Stage) *constructs.Network {
	stack := d.Stack
	p := &awsec2.VpcProps{
		IpAddresses: awsec2.IpAddresses_Cidr(jsii.String(stage.Network.CIDR)),
		NatGateways: jsii.Number(1),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{
			{Name: jsii.String("Public"), SubnetType: awsec2.SubnetType_PUBLIC, MapPublicIpOnLaunch: jsii.Bool(false)},
			{Name: jsii.String("Private"), SubnetType: awsec2.SubnetType_PRIVATE_WITH_EGRESS},
		},
		AvailabilityZones: zonesOf(stack, stage),
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"S3": {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
		},
	}
	if stage.Network.Egress == config.NATInstance {
		d.nat = awsec2.NatProvider_InstanceV2(&awsec2.NatInstanceProps{
			InstanceType: awsec2.NewInstanceType(jsii.String("t4g.nano")),
			MachineImage: &constructs.Image{
				ID: "NatImage", Parameter: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
				Label: stage.Network.NATImage,
			},
			DefaultAllowedTraffic:    awsec2.NatTrafficDirection_OUTBOUND_ONLY,
			AssociatePublicIpAddress: jsii.Bool(true),
		})
		p.NatGatewayProvider = d.nat
	} else {
		p.NatGatewayProvider = awsec2.NatProvider_Gateway(nil)
	}
	vpc := awsec2.NewVpc(stack, jsii.String("Vpc"), p)
	if d.nat == nil {
		for _, gateway := range *p.NatGatewayProvider.ConfiguredGateways() {
			d.natGateways = append(d.natGateways, gateway.GatewayId)
		}
	} else {
		own := awsec2.Peer_Ipv4(vpc.VpcCidrBlock())
		d.nat.Connections().AllowFrom(own, awsec2.Port_AllTraffic(), jsii.String("The private subnets"))
	}
	addFlowLog(stack, vpc, stage)

	client := awsec2.NewSecurityGroup(stack, jsii.String("DatabaseClient"), &awsec2.SecurityGroupProps{
		Vpc:              vpc,
		Description:      jsii.String("Functions that use the database"),
		AllowAllOutbound: jsii.Bool(false),
	})
	client.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_HTTPS(), jsii.String("AWS APIs"), nil)
	return &constructs.Network{VPC: vpc, SecurityGroups: []awsec2.ISecurityGroup{client}}
}

// newBackups schedules a nightly snapshot of the database's volume. A snapshot shows the
// whole volume at one instant, so PostgreSQL recovers from it as from a power failure.
func newBackups(stack awscdk.Stack, volume awsec2.Volume, stage config.Stage) {
	role := awsiam.NewRole(stack, jsii.String("BackupRole"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("dlm.amazonaws.com"), nil),
		ManagedPolicies: &[]awsiam.IManagedPolicy{
			awsiam.ManagedPolicy_FromAwsManagedPolicyName(jsii.String("service-role/AWSDataLifecycleManagerServiceRole")),
		},
	})
	const tag = "insighthub:backup"
	awscdk.Tags_Of(volume).Add(jsii.String(tag), jsii.String(string(stage.Name)), nil)
	awsdlm.NewCfnLifecyclePolicy(stack, jsii.String("Backups"), &awsdlm.CfnLifecyclePolicyProps{
		Description:      jsii.String("Nightly snapshots of the InsightHub database"),
		ExecutionRoleArn: role.RoleArn(),
		State:            jsii.String("ENABLED"),
		PolicyDetails: &awsdlm.CfnLifecyclePolicy_PolicyDetailsProperty{
			ResourceTypes: jsii.Strings("VOLUME"),
			TargetTags:    &[]*awscdk.CfnTag{{Key: jsii.String(tag), Value: jsii.String(string(stage.Name))}},
			Schedules: &[]any{&awsdlm.CfnLifecyclePolicy_ScheduleProperty{
				Name: jsii.String("nightly"),
				CreateRule: &awsdlm.CfnLifecyclePolicy_CreateRuleProperty{
					Interval: jsii.Number(24), IntervalUnit: jsii.String("HOURS"), Times: jsii.Strings("02:00"),
				},
				RetainRule: &awsdlm.CfnLifecyclePolicy_RetainRuleProperty{
					Interval: jsii.Number(stage.Database.BackupDays), IntervalUnit: jsii.String("DAYS"),
				},
				CopyTags: jsii.Bool(true),
			}},
		},
	})
}
