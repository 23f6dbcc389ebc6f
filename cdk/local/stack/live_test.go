package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/insighthub/insighthub/cdk/local/coturn/coturntest"
	"github.com/insighthub/insighthub/cdk/local/process/processtest"
	"github.com/insighthub/insighthub/cdk/local/redis/redistest"
	"github.com/insighthub/insighthub/cdk/local/template"
	"github.com/insighthub/insighthub/lib/eventually"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/turn"
)

// liveAssembly returns an assembly with the tasks of the live path, in the form in which the
// CDK synthesises them, and a function that makes credentials for the TURN servers.
func liveAssembly(t *testing.T) string {
	t.Helper()
	dir, hash := t.TempDir(), strings.Repeat("0a", 32)
	script, err := os.ReadFile("../../constructs/turn/entrypoint.sh")
	if err != nil {
		t.Fatal(err)
	}
	image := `{"Fn::Sub":"${AWS::AccountId}.dkr.ecr.${AWS::Region}.${AWS::URLSuffix}/assets:` + hash + `"}`
	variables := `{"Name":"LISTEN","Value":":8080"},{"Name":"DRAIN_SECONDS","Value":"90"},{"Name":"TRUST_FORWARDED_FOR","Value":"true"},
		{"Name":"AWS_REGION","Value":{"Ref":"AWS::Region"}},{"Name":"ORIGINS","Value":"https://live.example.com"},
		{"Name":"TOKEN_ISSUER","Value":"https://issuer.example"},{"Name":"TOKEN_AUDIENCE","Value":"insighthub"},
		{"Name":"SIGNING_KEYS","Value":{"Fn::Join":["",["[{\"key\":\"",{"Fn::GetAtt":["Key","Arn"]},"\"}]"]]}},
		{"Name":"TICKET_KEY_ARN","Value":{"Ref":"TicketKey"}},{"Name":"TURN_SECRET_ARN","Value":{"Ref":"TurnSecret"}},
		{"Name":"STATE_BUCKET","Value":{"Ref":"States"}},
		{"Name":"REDIS_URL","Value":{"Fn::Join":["",["rediss://",{"Fn::GetAtt":["Valkey","PrimaryEndPoint.Address"]},":6379"]]}},
		{"Name":"REDIS_SECRET_ARN","Value":{"Ref":"ValkeyPassword"}}`
	generated := `{"Type":"AWS::SecretsManager::Secret",
		"Properties":{"GenerateSecretString":{"PasswordLength":64,"ExcludePunctuation":true}}}`
	for name, content := range map[string]string{
		"asset." + hash + "/entrypoint.sh": string(script),
		"manifest.json": `{"artifacts":{"S":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/unknown-region",
			"properties":{"templateFile":"S.json","stackName":"S","tags":{"insighthub:stage":"dev"}}}}}`,
		"S.json": `{"Resources":{
			"TicketKey":` + generated + `,"TurnSecret":` + generated + `,"ValkeyPassword":` + generated + `,
			"Key":{"Type":"AWS::KMS::Key","Properties":{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}},
			"States":{"Type":"AWS::S3::Bucket"},
			"Valkey":{"Type":"AWS::ElastiCache::ReplicationGroup"},
			"Turn":{"Type":"AWS::ECS::TaskDefinition","Metadata":{"insighthub:package":"coturn"},"Properties":{"ContainerDefinitions":[{
				"Command":["--realm=insighthub","--use-auth-secret","--no-cli","--log-file=stdout",
				"--denied-peer-ip=127.0.0.0-127.255.255.255"],
				"Secrets":[{"Name":"TURN_SECRET","ValueFrom":{"Ref":"TurnSecret"}}],"Image":` + image + `}]}},
			"Signaling":{"Type":"AWS::ECS::TaskDefinition","Metadata":{"insighthub:package":"signaling"},
			"Properties":{"ContainerDefinitions":[{
				"Environment":[` + variables + `],"Image":` + image + `}]}}}}`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startLiveTest starts the emulators and the servers of the live path, without a database and
// functions.
func startLiveTest(t *testing.T) *Stack {
	t.Helper()
	cfg := Config{
		Assembly: liveAssembly(t), Stage: "dev", State: t.TempDir(), HTTP: "127.0.0.1:0", Functions: build(t).functions,
		Coturn: coturntest.Tree(t), Redis: filepath.Dir(filepath.Dir(redistest.Binary(t))), Live: t.TempDir(),
		Database: "postgres://unused", Out: io.Discard, Now: time.Now,
	}
	cfg, err := cfg.complete()
	if err != nil {
		t.Fatal(err)
	}
	s := &Stack{cfg: cfg, functions: map[string]*function{}, secretARNs: map[string]string{}}
	if s.plan, err = template.Read(cfg.Assembly, cfg.Stage); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func(context.Context) error{
		func(context.Context) error { return s.prepareState() }, s.startSecrets, s.startKeys, s.startObjects, s.startLive,
	} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// hello connects to the signaling service with a token, and returns the type of its response
// and the addresses of the TURN servers that it names.
func (s *Stack) hello(ctx context.Context) (kind string, ice []string, err error) {
	info := s.info
	info.SigningKey, info.Issuer, info.Audience = s.plan.Keys[0].ARN, "https://issuer.example", "insighthub"
	minter, err := info.Minter(time.Now)
	if err != nil {
		return "", nil, err
	}
	gateway := token.Identity{Subject: "gw-1", Gateway: "gw-1", Site: "plant-1", Role: token.Gateway}
	access, _, err := minter.Mint(ctx, gateway, token.MaxLifetime)
	if err != nil {
		return "", nil, err
	}
	dialer := websocket.Dialer{Subprotocols: []string{"insighthub.signaling.v1"}}
	conn, response, err := dialer.DialContext(ctx, s.info.Signaling, http.Header{"Origin": {"http://127.0.0.1:8080"}})
	if err != nil {
		return "", nil, err
	}
	_ = response.Body.Close()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteJSON(map[string]string{"type": "hello", "token": access}); err != nil {
		return "", nil, err
	}
	if err := conn.WriteJSON(map[string]string{"type": "ice"}); err != nil {
		return "", nil, err
	}
	for range 2 {
		var message struct {
			Type    string `json:"type"`
			Servers []struct {
				URLs []string `json:"urls"`
			} `json:"ice_servers"`
		}
		if err := conn.ReadJSON(&message); err != nil {
			return kind, nil, err
		}
		kind += message.Type + " "
		for _, server := range message.Servers {
			ice = append(ice, server.URLs...)
		}
	}
	return kind, ice, nil
}

// relays allocates a relay with the secret of the template.
func (s *Stack) relays(t *testing.T) error {
	t.Helper()
	task, _ := s.plan.Task(turnProgram)
	secret, err := s.secrets.Value(s.secretARNs[task.Secrets["TURN_SECRET"]])
	if err != nil {
		return err
	}
	name, password := turn.Credential([]byte(secret), "gw-1", time.Now().Add(time.Minute))
	address := regexp.MustCompile(`^turn:(.*)\?transport=udp$`).FindStringSubmatch(s.info.Turn[0])[1]
	client := coturntest.Dial(t, "udp", address, name, password)
	at, _, code, err := client.Allocate(coturntest.UDP, coturntest.IPv4, time.Minute)
	if err == nil && code != 0 {
		err = fmt.Errorf("code %d", code)
	}
	if err != nil {
		return err
	}
	if code, err := client.Permit(at); err != nil || code != 0 { // a peer of this machine
		return fmt.Errorf("permission for %v: code %d, %w", at, code, err)
	}
	return nil
}

// TestLive: the servers run as the task definitions say, with local addresses; each is
// restarted at its address when it is killed, and all end with the stack.
func TestLive(t *testing.T) {
	t.Parallel()
	s := startLiveTest(t)
	pids := s.pids()
	check := func() {
		t.Helper()
		kind, ice, err := s.hello(t.Context())
		if err != nil || kind != "welcome ice " {
			t.Errorf("signaling: got %q, %v", kind, err)
		}
		want := append([]string{"stun:" + strings.TrimPrefix(strings.Split(s.info.Turn[0], "?")[0], "turn:")}, s.info.Turn...)
		if strings.Join(ice, " ") != strings.Join(want, " ") {
			t.Errorf("it names %v, want %v", ice, want)
		}
		if err := s.relays(t); err != nil {
			t.Errorf("turn: %v", err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(s.info.Redis, "redis://"), "/0"))
		if err != nil {
			t.Fatalf("redis: %v", err)
		}
		_ = conn.Close()
	}
	check()
	log, err := os.ReadFile(s.cfg.path("logs", "signaling.log"))
	if err != nil || !strings.Contains(string(log), `"several_tasks":true`) {
		t.Errorf("the service does not use redis: %s, %v", log, err)
	}
	for name, kill := range map[string]struct {
		pid     int
		current func() int
	}{
		"signaling": {pids.Signaling, s.live.signaling.pid},
		"coturn":    {pids.Coturn, s.live.turn.pid},
		"redis":     {pids.Redis, s.live.redis.pid},
	} {
		if err := syscall.Kill(kill.pid, syscall.SIGKILL); err != nil {
			t.Fatalf("%s, process %d: %v", name, kill.pid, err)
		}
		eventually.True(t, "another "+name, func() bool { return kill.current() != kill.pid })
	}
	check()
	pids = s.pids()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	processtest.Gone(t, pids.Signaling, pids.Coturn, pids.Redis)
}

// TestTwoLivePaths: two stacks on one machine choose other ports.
func TestTwoLivePaths(t *testing.T) {
	t.Parallel()
	one, two := startLiveTest(t), startLiveTest(t)
	if one.info.Signaling == two.info.Signaling || one.info.Turn[0] == two.info.Turn[0] || one.info.Redis == two.info.Redis {
		t.Errorf("got %+v and %+v, want addresses of their own", one.info, two.info)
	}
	for _, s := range []*Stack{one, two} {
		if err := s.relays(t); err != nil {
			t.Error(err)
		}
	}
}

// TestPage: the front serves the built page, its configuration and nothing else; the API has
// every other path, as it is.
func TestPage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := &Stack{cfg: Config{Live: filepath.Join(folder, "live")}}
	s.info.HTTP, s.info.Signaling = "http://127.0.0.1:1", "ws://127.0.0.1:2/v1/signaling"
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "api %s", r.URL.Path) })
	if h := s.page(api); s.info.Live != "" || h == nil {
		t.Errorf("a page without signaling: %s", s.info.Live)
	}
	s.live.signaling = &supervisor[*service]{}
	handler := s.page(api)
	get := func(method, path string) (int, string, http.Header) {
		t.Helper()
		w := &recorder{header: http.Header{}, status: http.StatusOK}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		handler.ServeHTTP(w, r)
		return w.status, w.body.String(), w.header
	}
	if status, body, _ := get("GET", "/live/"); status != 404 || !strings.Contains(body, "make pages") {
		t.Errorf("before it is built: %d %s", status, body)
	}
	if err := os.CopyFS(s.cfg.Live, os.DirFS("testdata/page")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hidden"), []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, body, header := get("GET", "/live/")
	if status != 200 || !strings.Contains(body, "<title>page</title>") {
		t.Errorf("the page: %d %s", status, body)
	}
	for name, want := range map[string]string{
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "X-Content-Type-Options": "nosniff",
		"Content-Security-Policy": "default-src 'self'",
	} {
		if !strings.HasPrefix(header.Get(name), want) {
			t.Errorf("%s: %q, want %q", name, header.Get(name), want)
		}
	}
	_, body, _ = get("GET", "/live/config.json")
	var config map[string]string
	if err := json.Unmarshal([]byte(body), &config); err != nil || config["signaling"] != s.info.Signaling || config["api"] != "" {
		t.Errorf("configuration %s, %v", body, err)
	}
	for path, want := range map[string]int{"/live/none.js": 404, "/live/../hidden": 404, "/live/%2e%2e/hidden": 404} {
		if status, body, _ := get("GET", path); status != want || strings.Contains(body, "hidden\n") || body == "hidden" {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	if status, _, _ := get("POST", "/live/config.json"); status != 405 {
		t.Errorf("POST: %d, want 405", status)
	}
	for _, path := range []string{"/v1/sites//readings", "/livestock", "/", "/v1/live/"} {
		if _, body, _ := get("GET", path); body != "api "+path {
			t.Errorf("%s: got %q, want the API", path, body)
		}
	}
}

// recorder keeps a response.
type recorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
