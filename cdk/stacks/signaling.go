package stacks

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscertificatemanager"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsroute53targets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	cdkconstructs "github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/constructs"
)

// Signaling is the stack of the live path: the signaling service and the TURN servers, in a
// network of their own (docs/adr/0049, docs/adr/0050). Without a domain it has their task
// definitions, which the local stack runs, and no service.
type Signaling struct {
	Stack awscdk.Stack
	// Service relays between the peers of a room; Turn relays what they send to each other. Both
	// are nil without a domain, Turn also when others' servers are used.
	Service awsecs.FargateService
	Turn    awsecs.FargateService

	tasks       []constructs.Task
	network     liveNetwork
	valkey      valkey
	front       awselasticloadbalancingv2.ApplicationLoadBalancer
	frontTarget awselasticloadbalancingv2.ApplicationTargetGroup
	turnTarget  awselasticloadbalancingv2.NetworkTargetGroup
	turnFront   awselasticloadbalancingv2.NetworkLoadBalancer
	zone        awsroute53.IHostedZone
	certificate awscertificatemanager.Certificate
}

// signalingPort is where the service listens, without TLS: the load balancer ends it.
const signalingPort = 8080

// Of a task that ends: the load balancer first stops sending it new connections and waits
// deregistrationDelay for those that it has, which do not end by themselves; ECS sends SIGTERM
// after that, and SIGKILL after stopTimeout. The service drains in drainTime.
const (
	deregistrationDelay = 10 * time.Second
	drainTime           = 90 * time.Second
	stopTimeout         = 2 * time.Minute
)

// idleTimeout of a connection is many of the 5 s after which each side pings the other.
const idleTimeout = time.Minute

// NewSignaling adds the stack to scope.
func NewSignaling(scope cdkconstructs.Construct, props Props, data Data, api API) (Signaling, error) {
	stage := props.Stage
	s := Signaling{Stack: newStack(scope, props, "Signaling", "the live path: signaling and TURN servers")}
	s.Stack.AddDependency(api.Stack, jsii.String("It publishes the keys"))
	s.network = newLiveNetwork(s.Stack, stage)
	s.valkey = newValkey(s.Stack, stage, s.network)
	cluster := awsecs.NewCluster(s.Stack, jsii.String("Cluster"), &awsecs.ClusterProps{
		Vpc: s.network.vpc, ContainerInsightsV2: awsecs.ContainerInsights_ENABLED,
	})
	if stage.Live.Deployed() {
		s.zone = awsroute53.HostedZone_FromHostedZoneAttributes(s.Stack, jsii.String("Zone"), &awsroute53.HostedZoneAttributes{
			HostedZoneId: jsii.String(stage.Live.HostedZoneID), ZoneName: jsii.String(stage.Live.Domain),
		})
		s.certificate = awscertificatemanager.NewCertificate(s.Stack, jsii.String("Certificate"), &awscertificatemanager.CertificateProps{
			DomainName:              jsii.String(signalingName(stage)),
			SubjectAlternativeNames: jsii.Strings(turnName(stage)),
			Validation:              awscertificatemanager.CertificateValidation_FromDns(s.zone),
		})
	}
	s.addService(props, data, api, cluster)
	if err := s.addTurn(stage, data, cluster); err != nil {
		return s, err
	}
	if stage.Live.Deployed() {
		output(s.Stack, "SignalingUrl", jsii.String("wss://"+signalingName(stage)+"/v1/signaling"), "Address of the signaling service")
	}
	return s, nil
}

func signalingName(stage config.Stage) string { return "signaling." + stage.Live.Domain }

// addService adds the signaling service and what is before it.
func (s *Signaling) addService(props Props, data Data, api API, cluster awsecs.Cluster) {
	stage := props.Stage
	settings := stage.Live.Signaling
	ticketKey := awssecretsmanager.NewSecret(s.Stack, jsii.String("TicketKey"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Signs the tickets with which peers resume a session on another task"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			PasswordLength: jsii.Number(64), ExcludePunctuation: jsii.Bool(true),
		},
		RemovalPolicy: constructs.RemovalPolicy(stage.Removal),
	})
	keys, allowVerify := importPublicKeys(s.Stack, stage)
	environment := constructs.GoEnvironment(stage, settings.Task)
	maps.Copy(environment, map[string]*string{
		"LISTEN": jsii.String(fmt.Sprintf(":%d", signalingPort)),
		// The service reads it, like the functions.
		"AWS_REGION":    s.Stack.Region(),
		"DRAIN_SECONDS": seconds(drainTime),
		// As in the image, whose environment the local stack does not read.
		"GODEBUG":        jsii.String("adaptivestackstart=0"),
		"ORIGINS":        s.origins(stage, api),
		"SIGNING_KEYS":   keys,
		"STATE_BUCKET":   data.States.BucketName(),
		"TICKET_KEY_ARN": ticketKey.SecretArn(),
		// Those of a task that ended come too; beyond that, another task takes them.
		"MAX_SESSIONS": number(2 * settings.Connections),
		// The load balancer, which nobody can go around, adds the client's address.
		"TRUST_FORWARDED_FOR": jsii.String("true"),
	})
	for _, name := range []string{"TOKEN_ISSUER", "TOKEN_AUDIENCE", "TRUSTED_ISSUERS"} {
		environment[name] = api.Tokens.Environment[name]
	}
	ice := iceServers(stage, data.TurnSecret)
	if ice.secret != nil {
		environment["TURN_SECRET_ARN"] = ice.secret
	}
	if stun := strings.Join(ice.stun, " "); stun != "" {
		environment["STUN_URLS"] = jsii.String(stun)
	}
	if turn := strings.Join(ice.turn, " "); turn != "" {
		environment["TURN_URLS"] = jsii.String(turn)
	}
	if s.valkey.group != nil {
		environment["REDIS_URL"], environment["REDIS_SECRET_ARN"] = s.valkey.url(), s.valkey.secret.SecretArn()
	}
	task := constructs.NewTask(s.Stack, "Service", &constructs.TaskProps{
		Package: signalingProgram, Stage: stage, Size: settings.Task,
		Image:       constructs.ImageFrom(filepath.Join(props.Functions, signalingProgram)),
		Environment: environment,
		Ports:       []*awsecs.PortMapping{{ContainerPort: jsii.Number(signalingPort), Protocol: awsecs.Protocol_TCP}},
		StopTimeout: stopTimeout,
	})
	s.tasks = append(s.tasks, task)
	allowVerify(task)
	data.allowReadDenials(task)
	ticketKey.GrantRead(task.Role, nil)
	if s.valkey.group != nil {
		s.valkey.secret.GrantRead(task.Role, nil)
	}
	data.allowTurnSecret(s.Stack, stage, task.Role)
	if !stage.Live.Deployed() {
		return
	}
	s.Service = constructs.NewService(s.Stack, "SignalingService", &constructs.ServiceProps{
		Task: task, Cluster: cluster, Group: s.network.signaling, Grace: time.Minute,
	})
	s.addFront(stage)
	s.scale(settings)
}

// origins returns the pages that may connect.
func (s *Signaling) origins(stage config.Stage, api API) *string {
	origins := []string{*api.HTTP.ApiEndpoint()}
	if stage.Live.Deployed() {
		origins = append(origins, "https://"+stage.Live.Domain)
	}
	return jsii.String(strings.Join(slices.Concat(origins, stage.Live.Origins), " "))
}

// addFront adds the load balancer that ends TLS, and its name.
func (s *Signaling) addFront(stage config.Stage) {
	s.front = awselasticloadbalancingv2.NewApplicationLoadBalancer(s.Stack, jsii.String("Front"),
		&awselasticloadbalancingv2.ApplicationLoadBalancerProps{
			Vpc: s.network.vpc, InternetFacing: jsii.Bool(true), SecurityGroup: s.network.front,
			VpcSubnets:              &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PUBLIC},
			IdleTimeout:             constructs.Duration(idleTimeout),
			DropInvalidHeaderFields: jsii.Bool(true),
			DeletionProtection:      jsii.Bool(stage.Removal == config.Keep),
		})
	listener := s.front.AddListener(jsii.String("Https"), &awselasticloadbalancingv2.BaseApplicationListenerProps{
		Port: jsii.Number(443), Protocol: awselasticloadbalancingv2.ApplicationProtocol_HTTPS, Open: jsii.Bool(false),
		Certificates: &[]awselasticloadbalancingv2.IListenerCertificate{s.certificate},
		SslPolicy:    awselasticloadbalancingv2.SslPolicy_TLS13_RES,
	})
	s.frontTarget = listener.AddTargets(jsii.String("Signaling"), &awselasticloadbalancingv2.AddApplicationTargetsProps{
		Port: jsii.Number(signalingPort), Protocol: awselasticloadbalancingv2.ApplicationProtocol_HTTP,
		Targets: &[]awselasticloadbalancingv2.IApplicationLoadBalancerTarget{s.Service},
		HealthCheck: &awselasticloadbalancingv2.HealthCheck{
			Path: jsii.String("/readyz"), HealthyHttpCodes: jsii.String("200"),
			Interval: constructs.Duration(10 * time.Second), Timeout: constructs.Duration(5 * time.Second),
			HealthyThresholdCount: jsii.Number(2), UnhealthyThresholdCount: jsii.Number(3),
		},
		DeregistrationDelay: constructs.Duration(deregistrationDelay),
		// Connections last for hours: by turns, a new task would stay empty for as long.
		LoadBalancingAlgorithmType: awselasticloadbalancingv2.TargetGroupLoadBalancingAlgorithmType_LEAST_OUTSTANDING_REQUESTS,
	})
	awsroute53.NewARecord(s.Stack, jsii.String("Name"), &awsroute53.ARecordProps{
		Zone: s.zone, RecordName: jsii.String(signalingName(stage) + "."),
		Target: awsroute53.RecordTarget_FromAlias(awsroute53targets.NewLoadBalancerTarget(s.front, nil)),
	})
}
