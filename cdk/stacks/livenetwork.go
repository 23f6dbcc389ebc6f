package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticache"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// liveNetwork is a VPC of two availability zones without a NAT: tasks have public addresses,
// and Valkey needs no way out. The database's network is another one, so a peer that misuses
// a TURN server finds nothing behind it.
type liveNetwork struct {
	vpc awsec2.Vpc
	// front and turnFront are the load balancers, signaling and turn the tasks.
	front, signaling, valkey, turnFront, turn awsec2.SecurityGroup
}

func newLiveNetwork(stack awscdk.Stack, stage config.Stage) liveNetwork {
	p := &awsec2.VpcProps{
		IpAddresses: awsec2.IpAddresses_Cidr(jsii.String(stage.Live.CIDR)),
		NatGateways: jsii.Number(0),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{
			{Name: jsii.String("Public"), SubnetType: awsec2.SubnetType_PUBLIC, MapPublicIpOnLaunch: jsii.Bool(false)},
			{Name: jsii.String("Isolated"), SubnetType: awsec2.SubnetType_PRIVATE_ISOLATED},
		},
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"S3": {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
		},
		AvailabilityZones: zonesOf(stack, stage),
	}
	n := liveNetwork{vpc: awsec2.NewVpc(stack, jsii.String("Vpc"), p)}
	addFlowLog(stack, n.vpc, stage)
	group := func(id, description string) awsec2.SecurityGroup {
		return awsec2.NewSecurityGroup(stack, jsii.String(id), &awsec2.SecurityGroupProps{
			Vpc: n.vpc, Description: jsii.String(description), AllowAllOutbound: jsii.Bool(false),
		})
	}
	n.front, n.signaling = group("FrontGroup", "Load balancer of the signaling service"), group("SignalingGroup", "Signaling service")
	n.front.AddIngressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_HTTPS(), jsii.String("Browsers and gateways"), nil)
	n.front.Connections().AllowTo(n.signaling, awsec2.Port_Tcp(jsii.Number(signalingPort)), jsii.String("WebSockets"))
	n.signaling.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_HTTPS(), jsii.String("AWS APIs, trusted issuers"), nil)
	if stage.Live.Valkey.NodeType != "" {
		n.valkey = group("ValkeyGroup", "Valkey of the signaling service")
		n.signaling.Connections().AllowTo(n.valkey, awsec2.Port_Tcp(jsii.Number(valkeyPort)), jsii.String("Valkey"))
	}
	if !stage.HasTurn() {
		return n
	}
	n.turnFront, n.turn = group("TurnFrontGroup", "Load balancer of the TURN servers"), group("TurnGroup", "TURN servers")
	n.turnFront.AddIngressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Udp(jsii.Number(turnPort)), jsii.String("TURN"), nil)
	n.turnFront.AddIngressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_HTTPS(), jsii.String("TURN over TLS"), nil)
	n.turnFront.Connections().AllowTo(n.turn, awsec2.Port_Udp(jsii.Number(turnPort)), jsii.String("TURN"))
	n.turnFront.Connections().AllowTo(n.turn, awsec2.Port_Tcp(jsii.Number(turnPort)), jsii.String("TURN over TLS, health checks"))
	relays := awsec2.Port_UdpRange(jsii.Number(firstRelayPort), jsii.Number(lastRelayPort))
	n.turn.AddIngressRule(awsec2.Peer_AnyIpv4(), relays, jsii.String("Peers of relays"), nil)
	// A peer behind a NAT has any port.
	n.turn.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_AllUdp(), jsii.String("Peers of relays"), nil)
	n.turn.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_HTTPS(), jsii.String("Image, secret, logs, own address"), nil)
	return n
}

// zonesOf returns the availability zones of a network, by name: the list that Fn::GetAZs
// returns can change, and a subnet or volume whose zone changes is replaced, the volume by an
// empty one.
func zonesOf(stack awscdk.Stack, stage config.Stage) *[]*string {
	if zones := stage.AvailabilityZones; len(zones) > 0 {
		return jsii.Strings(zones...)
	}
	zones := make([]*string, len(stage.Zones))
	for i, letter := range stage.Zones {
		zones[i] = jsii.String(*stack.Region() + letter)
	}
	return &zones
}

// addFlowLog logs what a network rejects.
func addFlowLog(stack awscdk.Stack, vpc awsec2.Vpc, stage config.Stage) {
	vpc.AddFlowLog(jsii.String("Refused"), &awsec2.FlowLogOptions{
		TrafficType: awsec2.FlowLogTrafficType_REJECT,
		Destination: awsec2.FlowLogDestination_ToCloudWatchLogs(awslogs.NewLogGroup(stack, jsii.String("FlowLogs"), &awslogs.LogGroupProps{
			Retention:     constructs.LogRetention(stage.Log.RetentionDays),
			RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		}), nil),
	})
}

const (
	valkeyPort = 6379
	// valkeyVersion is the newest that ElastiCache offered when this was written.
	valkeyVersion = "8.0"
)

// valkey is the server by which signaling's tasks relay to each other: no data is stored in
// it that outlives them.
type valkey struct {
	group  awselasticache.CfnReplicationGroup // nil without one
	secret awssecretsmanager.Secret
}

func newValkey(stack awscdk.Stack, stage config.Stage, n liveNetwork) valkey {
	settings := stage.Live.Valkey
	if settings.NodeType == "" {
		return valkey{}
	}
	v := valkey{secret: awssecretsmanager.NewSecret(stack, jsii.String("ValkeyPassword"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Password of the Valkey of the signaling service"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength: jsii.Number(64), ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})}
	var subnets []*string
	for _, subnet := range *n.vpc.IsolatedSubnets() {
		subnets = append(subnets, subnet.SubnetId())
	}
	group := awselasticache.NewCfnSubnetGroup(stack, jsii.String("ValkeySubnets"), &awselasticache.CfnSubnetGroupProps{
		Description: jsii.String("Valkey of the signaling service of InsightHub " + string(stage.Name)), SubnetIds: &subnets,
	})
	several := settings.Nodes > 1
	v.group = awselasticache.NewCfnReplicationGroup(stack, jsii.String("Valkey"), &awselasticache.CfnReplicationGroupProps{
		ReplicationGroupDescription: jsii.String("Relays between the tasks of the signaling service"),
		Engine:                      jsii.String("valkey"), EngineVersion: jsii.String(valkeyVersion),
		CacheNodeType: jsii.String(settings.NodeType), NumCacheClusters: jsii.Number(settings.Nodes), Port: jsii.Number(valkeyPort),
		AutomaticFailoverEnabled: jsii.Bool(several), MultiAzEnabled: jsii.Bool(several),
		TransitEncryptionEnabled: jsii.Bool(true), AtRestEncryptionEnabled: jsii.Bool(true),
		AuthToken:            v.secret.SecretValue().UnsafeUnwrap(), // a reference that CloudFormation resolves
		CacheSubnetGroupName: group.Ref(), SecurityGroupIds: &[]*string{n.valkey.SecurityGroupId()},
		AutoMinorVersionUpgrade: jsii.Bool(true),
	})
	return v
}

// url returns the address, without the password.
func (v valkey) url() *string {
	return jsii.String("rediss://" + *v.group.AttrPrimaryEndPointAddress() + ":" + *v.group.AttrPrimaryEndPointPort())
}
