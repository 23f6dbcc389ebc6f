package stacks_test

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/insighthub/insighthub/cdk/config"
	"github.com/insighthub/insighthub/cdk/stacks"
)

// taskOf returns the only container of a program's task definition, with its environment.
func taskOf(t *testing.T, a assembly, program string) (container, env map[string]any) {
	t.Helper()
	for _, r := range a.ofType("AWS::ECS::TaskDefinition") {
		if r.Metadata["insighthub:package"] == program {
			container, _ = list(r.Properties["ContainerDefinitions"])[0].(map[string]any)
			env = map[string]any{}
			if container["Environment"] != nil {
				for _, entry := range list(container["Environment"]) {
					pair, _ := entry.(map[string]any)
					env[pair["Name"].(string)] = pair["Value"]
				}
			}
			return container, env
		}
	}
	t.Fatalf("no task definition of %s", program)
	return nil, nil
}

// TestSignaling checks the service of a stage with a domain: how it starts, drains, scales and
// rolls back, and who reaches what.
func TestSignaling(t *testing.T) {
	s := stage(t, config.Prod)
	a := synthesiseWith(t, s)
	container, env := taskOf(t, a, "signaling")
	for name, want := range map[string]string{
		"LISTEN": ":8080", "DRAIN_SECONDS": "90", "MAX_SESSIONS": "20000", "TRUST_FORWARDED_FOR": "true",
		"GODEBUG":   "adaptivestackstart=0",
		"STUN_URLS": "stun:turn.live.example.com:3478",
		"TURN_URLS": "turn:turn.live.example.com:3478?transport=udp turns:turn.live.example.com:443?transport=tcp",
	} {
		if env[name] != want {
			t.Errorf("%s = %v, want %s", name, env[name], want)
		}
	}
	for name, want := range map[string]string{
		"TOKEN_ISSUER": "Http", "SIGNING_KEYS": "SigningKeys", "STATE_BUCKET": "States", "TICKET_KEY_ARN": "TicketKey",
		"TURN_SECRET_ARN": "TurnSecret",
		"REDIS_URL":       "rediss://", "REDIS_SECRET_ARN": "ValkeyPassword", "ORIGINS": "https://live.example.com",
	} {
		if got := text(env[name]); !strings.Contains(got, want) {
			t.Errorf("%s = %s, want %s in it", name, got, want)
		}
	}
	if container["StopTimeout"] != 120.0 || container["Secrets"] != nil {
		t.Errorf("container %s, want 2 minutes to stop, and no values of secrets", text(container))
	}
	group := targetGroup(t, a, "HTTP")
	attributes := text(group["TargetGroupAttributes"])
	if group["HealthCheckPath"] != "/readyz" || !strings.Contains(attributes, `"deregistration_delay.timeout_seconds","Value":"10"`) {
		t.Errorf("target group %s", text(group))
	}
	for _, service := range a.ofType("AWS::ECS::Service") {
		deployment := text(service.Properties["DeploymentConfiguration"])
		for _, want := range []string{`"DeploymentCircuitBreaker":{"Enable":true,"Rollback":true}`, `"MinimumHealthyPercent":100`} {
			if !strings.Contains(deployment, want) {
				t.Errorf("%s: deployment %s, want %s", service.ID, deployment, want)
			}
		}
		if service.Properties["EnableExecuteCommand"] != false {
			t.Errorf("%s: commands can be executed in its tasks", service.ID)
		}
	}
	target := a.one(t, "AWS::ApplicationAutoScaling::ScalableTarget").Properties
	policy := text(a.one(t, "AWS::ApplicationAutoScaling::ScalingPolicy").Properties)
	if target["MinCapacity"] != 2.0 || target["MaxCapacity"] != 10.0 || !strings.Contains(policy, `"TargetValue":20000`) ||
		!strings.Contains(policy, "ActiveConnectionCount") {
		t.Errorf("scaling %s, %s, want 2 to 10 tasks with 10,000 connections each", text(target), policy)
	}
	balancer := ""
	for _, b := range a.ofType("AWS::ElasticLoadBalancingV2::LoadBalancer") {
		balancer += text(b.Properties)
	}
	if !strings.Contains(balancer, `"idle_timeout.timeout_seconds","Value":"60"`) {
		t.Errorf("load balancers %s, want an idle timeout of 60 s", balancer)
	}
	checkListeners(t, a)
	checkGroups(t, a)
	valkey := a.one(t, "AWS::ElastiCache::ReplicationGroup").Properties
	for name, want := range map[string]any{
		"Engine": "valkey", "TransitEncryptionEnabled": true, "AtRestEncryptionEnabled": true, "MultiAZEnabled": true,
		"AutomaticFailoverEnabled": true, "NumCacheClusters": 2.0,
	} {
		if valkey[name] != want {
			t.Errorf("Valkey: %s = %v, want %v", name, valkey[name], want)
		}
	}
	if token := text(valkey["AuthToken"]); !strings.Contains(token, "resolve:secretsmanager") {
		t.Errorf("Valkey's password is %s, want that of a secret", token)
	}
}

func targetGroup(t *testing.T, a assembly, protocol string) map[string]any {
	t.Helper()
	for _, g := range a.ofType("AWS::ElasticLoadBalancingV2::TargetGroup") {
		if g.Properties["Protocol"] == protocol {
			return g.Properties
		}
	}
	t.Fatalf("no target group of %s", protocol)
	return nil
}

// checkListeners: nothing but UDP is without TLS.
func checkListeners(t *testing.T, a assembly) {
	t.Helper()
	var got []string
	for _, l := range a.ofType("AWS::ElasticLoadBalancingV2::Listener") {
		protocol, _ := l.Properties["Protocol"].(string)
		got = append(got, protocol)
		secure := l.Properties["Certificates"] != nil && strings.Contains(text(l.Properties["SslPolicy"]), "TLS13")
		if protocol != "UDP" && !secure {
			t.Errorf("%s: %s", l.ID, text(l.Properties))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"HTTPS", "TLS", "UDP"}) {
		t.Errorf("listeners %v", got)
	}
}

// checkGroups: from the internet only the load balancers and the ports of relays are reached.
func checkGroups(t *testing.T, a assembly) {
	t.Helper()
	open := map[string]string{}
	for _, g := range a.ofType("AWS::EC2::SecurityGroup") {
		if !strings.HasPrefix(g.ID, "Signaling/") || g.Properties["SecurityGroupIngress"] == nil {
			continue
		}
		for _, rule := range list(g.Properties["SecurityGroupIngress"]) {
			r, _ := rule.(map[string]any)
			open[text(r["IpProtocol"])+text(r["FromPort"])+"-"+text(r["ToPort"])+text(r["CidrIp"])] = g.ID
		}
	}
	want := map[string]string{
		`"tcp"443-443"0.0.0.0/0"`: "", `"udp"3478-3478"0.0.0.0/0"`: "Signaling/TurnFront",
		`"udp"49152-65535"0.0.0.0/0"`: "Signaling/TurnGroup",
	}
	for rule, group := range want {
		if !strings.HasPrefix(open[rule], group) || open[rule] == "" {
			t.Errorf("%s is open in %q, want %s", rule, open[rule], group)
		}
	}
	if len(open) != len(want) {
		t.Errorf("open to the internet: %v", open)
	}
	for _, r := range append(a.ofType("AWS::EC2::SecurityGroupIngress"), a.ofType("AWS::EC2::SecurityGroupEgress")...) {
		if r.Properties["CidrIp"] != nil {
			t.Errorf("%s: %s", r.ID, text(r.Properties))
		}
	}
}

// TestSignalingOthersTurn: where the stage names other TURN servers, peers get these, and the
// stage has none of its own.
func TestSignalingOthersTurn(t *testing.T) {
	s := stage(t, config.Prod)
	s.API.ICE = config.ICE{STUN: []string{"stun:stun.example.com"}, TURN: []string{"turn:turn.example.com"}, SecretARN: existingSecret}
	a := synthesiseWith(t, s)
	_, env := taskOf(t, a, "signaling")
	api := environment(a.functions()["api"])
	for _, got := range []any{env["TURN_URLS"], api["ICE_TURN"]} {
		if got != "turn:turn.example.com" {
			t.Errorf("TURN servers %v", got)
		}
	}
	if env["TURN_SECRET_ARN"] != existingSecret || api["TURN_SECRET_ARN"] != existingSecret {
		t.Errorf("secrets %v and %v, want %s", env["TURN_SECRET_ARN"], api["TURN_SECRET_ARN"], existingSecret)
	}
	if n := len(a.ofType("AWS::ECS::Service")); n != 1 {
		t.Errorf("%d services, want one", n)
	}
}

// TestNoDomain: without a domain nothing of the live path runs or is reached, and the API names
// no servers.
func TestNoDomain(t *testing.T) {
	a := synthesiseWith(t, stage(t, config.Dev))
	for _, kind := range []string{
		"AWS::ECS::Service", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::CertificateManager::Certificate", "AWS::Route53::RecordSet",
	} {
		if n := len(a.ofType(kind)); n > 0 {
			t.Errorf("%d of %s", n, kind)
		}
	}
	if turn := environment(a.functions()["api"])["ICE_TURN"]; turn != nil {
		t.Errorf("the API names %v", turn)
	}
	if n := len(a.ofType("AWS::ECS::TaskDefinition")); n != 2 {
		t.Errorf("%d task definitions, want those of signaling and of coturn, for the local stack", n)
	}
}

// TestDomain: the domain comes from outside of the repository; each stage has its own names.
func TestDomain(t *testing.T) {
	for _, s := range config.Stages() {
		if s.Live.Domain != "" || s.Live.HostedZoneID != "" {
			t.Errorf("%s: the repository contains the domain %q", s.Name, s.Live.Domain)
		}
	}
	for name, want := range map[string]string{"prod": "signaling.example.com", "staging": "signaling.staging.example.com"} {
		out := t.TempDir()
		err := stacks.Assembly{
			Stage: name, Out: out, Functions: builtFunctions(t), Rules: rulesDir, Settings: "../../cdk.json",
			Getenv: func(name string) string {
				return map[string]string{
					"INSIGHTHUB_ALARM_EMAIL": "operations@example.com", "INSIGHTHUB_DOMAIN": "example.com",
					"INSIGHTHUB_HOSTED_ZONE": "Z0123456789ABCDEFGHIJ",
				}[name]
			},
		}.Synthesise()
		if err != nil {
			t.Fatal(err)
		}
		raw := readAssembly(t, out).Raw["Signaling"]
		address := regexp.MustCompile(`wss://[^"]*`).FindString(raw)
		if u, err := url.Parse(address); err != nil || u.Host != want {
			t.Errorf("%s: %s, want the host %s", name, address, want)
		}
	}
	s := stage(t, config.Prod)
	s.Live.HostedZoneID = ""
	if _, err := stacks.NewPlatform(nil, stacks.Props{Stage: s}); err == nil || !strings.Contains(err.Error(), "hosted zone") {
		t.Errorf("a domain without a zone: %v", err)
	}
}
