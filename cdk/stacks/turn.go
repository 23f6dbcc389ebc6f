package stacks

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53targets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

const (
	turnPort                      = 3478
	firstRelayPort, lastRelayPort = 49152, 65535
	// turnProgram is in the metadata of the task definition.
	turnProgram = "coturn"
	// allocationLifetime is the longest that a relay outlives the last refresh of its client.
	allocationLifetime = 10 * time.Minute
)

func turnName(stage config.Stage) string { return "turn." + stage.Live.Domain }

// ice is what peers are told of STUN and TURN servers: others' that the stage names, or its
// own. secret is nil without TURN servers.
type ice struct {
	stun, turn []string
	secret     *string
}

func iceServers(stage config.Stage, own awssecretsmanager.ISecret) ice {
	other := stage.API.ICE
	if !stage.HasTurn() {
		i := ice{stun: other.STUN, turn: other.TURN}
		if other.SecretARN != "" {
			i.secret = jsii.String(other.SecretARN)
		}
		return i
	}
	i := ice{stun: other.STUN, secret: own.SecretArn()}
	if stage.Live.Deployed() {
		name := turnName(stage)
		i.stun = append([]string{fmt.Sprintf("stun:%s:%d", name, turnPort)}, i.stun...)
		// TLS on the port that every firewall lets pass.
		i.turn = []string{fmt.Sprintf("turn:%s:%d?transport=udp", name, turnPort), fmt.Sprintf("turns:%s:443?transport=tcp", name)}
	}
	return i
}

// newTurnSecret adds the secret that the TURN servers share with those who make credentials.
// It is in the stack Data, which is deployed before both, and there in every stage: a stage
// can change to others' servers and back while a deployed stack still imports it.
func newTurnSecret(stack awscdk.Stack, stage config.Stage) awssecretsmanager.ISecret {
	secret := awssecretsmanager.NewSecret(stack, jsii.String("TurnSecret"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Shared by the TURN servers and those who make credentials for them"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength: jsii.Number(64), ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	stack.ExportValue(secret.SecretArn(), nil)
	return secret
}

// allowTurnSecret lets a role read the secret of the TURN servers, the stage's own or others'.
func (d Data) allowTurnSecret(stack awscdk.Stack, stage config.Stage, role awsiam.Role) {
	switch {
	case stage.HasTurn():
		d.TurnSecret.GrantRead(role, nil)
	case stage.API.ICE.SecretARN != "":
		arn := jsii.String(stage.API.ICE.SecretARN)
		awssecretsmanager.Secret_FromSecretCompleteArn(stack, jsii.String("Turn"), arn).GrantRead(role, nil)
	}
}

// addTurn adds the TURN servers and what is before them.
func (s *Signaling) addTurn(stage config.Stage, data Data, cluster awsecs.Cluster) error {
	settings := stage.Live.Turn
	if !stage.HasTurn() {
		return nil
	}
	port := func(protocol awsecs.Protocol) *awsecs.PortMapping {
		return &awsecs.PortMapping{ContainerPort: jsii.Number(turnPort), Protocol: protocol}
	}
	var task constructs.Task
	err := constructs.WithTurnImage(func(image awsecs.ContainerImage) {
		task = constructs.NewTask(s.Stack, "TurnServer", &constructs.TaskProps{
			Package: turnProgram, Stage: stage, Size: settings.Task, Image: image, Options: turnOptions(stage),
			// By the agent: the program has no right at all.
			Secrets:     map[string]awsecs.Secret{"TURN_SECRET": awsecs.Secret_FromSecretsManager(data.TurnSecret, nil)},
			Ports:       []*awsecs.PortMapping{port(awsecs.Protocol_UDP), port(awsecs.Protocol_TCP)},
			StopTimeout: stopTimeout,
		})
	})
	if err != nil {
		return err
	}
	s.tasks = append(s.tasks, task)
	if stage.Live.Deployed() {
		s.Turn = constructs.NewService(s.Stack, "TurnService", &constructs.ServiceProps{
			Task: task, Cluster: cluster, Group: s.network.turn, Desired: settings.Tasks, Grace: time.Minute,
		})
		s.addTurnFront(stage)
	}
	return nil
}

// turnOptions returns coturn's options. Each has its value after an equals sign: of an option
// whose value is optional, coturn ignores one in the next argument without a word.
// TestTurn holds each of them to what the server does.
func turnOptions(stage config.Stage) []string {
	settings := stage.Live.Turn
	realm := stage.Live.Domain
	if realm == "" {
		realm = "insighthub"
	}
	options := []string{
		"--realm=" + realm,
		"--use-auth-secret",
		"--fingerprint",
		fmt.Sprintf("--listening-port=%d", turnPort),
		fmt.Sprintf("--min-port=%d", firstRelayPort),
		fmt.Sprintf("--max-port=%d", lastRelayPort),
		fmt.Sprintf("--user-quota=%d", settings.UserQuota),
		fmt.Sprintf("--total-quota=%d", settings.TotalQuota),
		fmt.Sprintf("--max-bps=%d", settings.SessionBytes),
		fmt.Sprintf("--stale-nonce=%d", int(settings.StaleNonce.Seconds())),
		fmt.Sprintf("--max-allocate-lifetime=%d", int(allocationLifetime.Seconds())),
		// The load balancer ends TLS.
		"--no-tls", "--no-dtls",
		"--no-tcp-relay",
		"--no-multicast-peers",
		"--no-cli",
		// A response must not be much larger than its request, whose sender may be forged.
		"--no-rfc5780", "--no-stun-backward-compatibility", "--response-origin-only-with-rfc5780", "--no-software-attribute",
		"--log-file=stdout", "--simple-log", "--new-log-timestamp",
		"--userdb=/tmp/turndb", "--pidfile=/tmp/turnserver.pid",
		"--no-auth-pings", "--no-dynamic-ip-list", "--no-dynamic-realms",
	}
	for _, closed := range config.ClosedPeers() {
		options = append(options, deniedPeers(closed))
	}
	return options
}

// deniedPeers returns the option that denies a range. One that starts at :: would deny every
// peer, also of IPv4 (coturn 4.6.1); :: itself is no peer for coturn.
func deniedPeers(closed netip.Prefix) string {
	first := closed.Addr()
	if first == netip.IPv6Unspecified() {
		first = first.Next()
	}
	return "--denied-peer-ip=" + first.String() + "-" + last(closed).String()
}

// last returns the last address of a range.
func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(raw); bit++ {
		raw[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// addTurnFront adds the load balancer. It passes packets of UDP to one server for as long as
// they flow; peers then reach that server's relays at its own public address.
func (s *Signaling) addTurnFront(stage config.Stage) {
	s.turnFront = awselasticloadbalancingv2.NewNetworkLoadBalancer(s.Stack, jsii.String("TurnFront"),
		&awselasticloadbalancingv2.NetworkLoadBalancerProps{
			Vpc: s.network.vpc, InternetFacing: jsii.Bool(true),
			VpcSubnets:         &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PUBLIC},
			SecurityGroups:     &[]awsec2.ISecurityGroup{s.network.turnFront},
			CrossZoneEnabled:   jsii.Bool(true),
			DeletionProtection: jsii.Bool(stage.Removal == config.Keep),
		})
	health := &awselasticloadbalancingv2.HealthCheck{
		Protocol: awselasticloadbalancingv2.Protocol_TCP, Port: jsii.String(strconv.Itoa(turnPort)),
		Interval: constructs.Duration(10 * time.Second), HealthyThresholdCount: jsii.Number(2), UnhealthyThresholdCount: jsii.Number(3),
	}
	target := func(protocol awsecs.Protocol) awsecs.IEcsLoadBalancerTarget {
		return s.Turn.LoadBalancerTarget(&awsecs.LoadBalancerTargetOptions{
			ContainerName: jsii.String("main"), ContainerPort: jsii.Number(turnPort), Protocol: protocol,
		})
	}
	udp := s.turnFront.AddListener(jsii.String("Udp"), &awselasticloadbalancingv2.BaseNetworkListenerProps{
		Port: jsii.Number(turnPort), Protocol: awselasticloadbalancingv2.Protocol_UDP,
	})
	s.turnTarget = udp.AddTargets(jsii.String("Turn"), &awselasticloadbalancingv2.AddNetworkTargetsProps{
		Port: jsii.Number(turnPort), Protocol: awselasticloadbalancingv2.Protocol_UDP, HealthCheck: health,
		Targets:             &[]awselasticloadbalancingv2.INetworkLoadBalancerTarget{target(awsecs.Protocol_UDP)},
		DeregistrationDelay: constructs.Duration(deregistrationDelay),
	})
	tls := s.turnFront.AddListener(jsii.String("Tls"), &awselasticloadbalancingv2.BaseNetworkListenerProps{
		Port: jsii.Number(443), Protocol: awselasticloadbalancingv2.Protocol_TLS,
		Certificates: &[]awselasticloadbalancingv2.IListenerCertificate{s.certificate},
		SslPolicy:    awselasticloadbalancingv2.SslPolicy_TLS13_RES,
	})
	tls.AddTargets(jsii.String("TurnTls"), &awselasticloadbalancingv2.AddNetworkTargetsProps{
		Port: jsii.Number(turnPort), Protocol: awselasticloadbalancingv2.Protocol_TCP, HealthCheck: health,
		Targets:             &[]awselasticloadbalancingv2.INetworkLoadBalancerTarget{target(awsecs.Protocol_TCP)},
		DeregistrationDelay: constructs.Duration(deregistrationDelay),
		// The group admits the load balancer; who is allowed is decided by the credential.
		PreserveClientIp: jsii.Bool(false),
	})
	awsroute53.NewARecord(s.Stack, jsii.String("TurnName"), &awsroute53.ARecordProps{
		Zone: s.zone, RecordName: jsii.String(turnName(stage) + "."),
		Target: awsroute53.RecordTarget_FromAlias(awsroute53targets.NewLoadBalancerTarget(s.turnFront, nil)),
	})
}
