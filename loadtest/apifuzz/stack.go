package apifuzz

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/insighthub/insighthub/cdk/local/stackfile"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
)

// Stack is a running local stack as a Target, with sites of its own.
type Stack struct {
	World World

	info   stackfile.Info
	client *http.Client
	tokens map[string]string // by caller
	// Of the disposable devices and metrics, next is the first that is there.
	next   atomic.Int64
	fresh  atomic.Int64
	unique string
}

// disposables is how many devices and metrics a run may delete.
const disposables = 900

// OpenStack creates what valid requests need, and the tokens of all callers.
func OpenStack(ctx context.Context, info stackfile.Info) (*Stack, error) {
	unique := strconv.FormatInt(time.Now().UnixMilli(), 36)
	s := &Stack{
		info: info, unique: unique, tokens: make(map[string]string),
		client: &http.Client{
			Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		World: World{
			Site: "fuzz-" + unique, Gateway: "gw-" + unique, Device: "press-1", Metric: "temperature", Unique: unique,
			Elsewhere: "fuzz-" + unique + "-2",
		},
	}
	if err := s.mint(ctx, info, AdminEverywhere, token.Identity{Subject: "fuzz-admin", Grants: everywhere()}); err != nil {
		return nil, err
	}
	elsewhere := s.World.Elsewhere
	for _, site := range []string{s.World.Site, elsewhere} {
		if _, err := s.create(ctx, "/v1/sites", object{"name": site}, "name"); err != nil {
			return nil, err
		}
	}
	gateways := "/v1/sites/" + s.World.Site + "/gateways"
	if _, err := s.create(ctx, gateways, object{"name": s.World.Gateway, "key": publicKey()}, "name"); err != nil {
		return nil, err
	}
	revoked := s.World.Gateway + "-revoked"
	if _, err := s.create(ctx, gateways, object{"name": revoked, "key": publicKey()}, "name"); err != nil {
		return nil, err
	}
	users := make(map[string]string)
	for _, name := range []string{"victim", "target", "disabled"} {
		id, err := s.create(ctx, "/v1/users", object{
			"name": "fuzz-" + name + "-" + unique, "password": "violet kettle drum 7 " + unique, "grants": object{s.World.Site: "viewer"},
		}, "id")
		if err != nil {
			return nil, err
		}
		users[name] = id
	}
	s.World.User = users["target"]
	if err := s.mintAll(ctx, users, elsewhere, revoked); err != nil {
		return nil, err
	}
	if err := s.takeAway(ctx, "/v1/users/"+users["disabled"], "PUT", object{"disabled": true, "grants": object{}}); err != nil {
		return nil, err
	}
	if err := s.takeAway(ctx, gateways+"/"+revoked, "DELETE", nil); err != nil {
		return nil, err
	}
	if err := s.sendEvents(ctx); err != nil {
		return nil, err
	}
	var err error
	s.World.Rule, err = s.create(ctx, "/v1/sites/"+s.World.Site+"/alarm-rules", s.rule(), "id")
	return s, err
}

func everywhere() map[telemetry.SiteID]token.Role {
	return map[telemetry.SiteID]token.Role{token.EverySite: token.Admin}
}

func (s *Stack) rule() object {
	return object{
		"gateway": s.World.Gateway, "device": s.World.Device, "metric": s.World.Metric, "kind": "threshold", "high": 1e6,
	}
}

// lifetime of the tokens that are minted for a run.
const lifetime = 30 * time.Minute

func (s *Stack) mint(ctx context.Context, info stackfile.Info, caller string, who token.Identity) error {
	return s.mintAt(ctx, info, caller, who, time.Now())
}

func (s *Stack) mintAt(ctx context.Context, info stackfile.Info, caller string, who token.Identity, at time.Time) error {
	m, err := info.Minter(func() time.Time { return at })
	if err != nil {
		return err
	}
	text, _, err := m.Mint(ctx, who, lifetime)
	if err != nil {
		return fmt.Errorf("token of %s: %w", caller, err)
	}
	s.tokens[caller] = text
	return nil
}

// mintAll mints the tokens of all callers but Nobody.
func (s *Stack) mintAll(ctx context.Context, users map[string]string, elsewhere, revoked string) error {
	at := func(site string, role token.Role) token.Identity {
		return token.Identity{
			Subject: "fuzz-" + string(role) + "-" + site,
			Grants:  map[telemetry.SiteID]token.Role{telemetry.SiteID(site): role},
		}
	}
	gateway := func(name, site string) token.Identity {
		return token.Identity{
			Subject: name, Gateway: telemetry.GatewayID(name), Site: telemetry.SiteID(site), Role: token.Gateway, Version: 1,
		}
	}
	viewer := at(s.World.Site, token.Viewer)
	viewer.Subject, viewer.Version = users["victim"], 1
	disabled := viewer
	disabled.Subject = users["disabled"]
	for caller, who := range map[string]token.Identity{
		ViewerHere: viewer, Disabled: disabled, OperatorHere: at(s.World.Site, token.Operator), AdminHere: at(s.World.Site, token.Admin),
		ViewerElsewhere: at(elsewhere, token.Viewer), AdminElsewhere: at(elsewhere, token.Admin),
		GatewayHere: gateway(s.World.Gateway, s.World.Site), GatewayElsewhere: gateway(s.World.Gateway+"-2", elsewhere),
		RevokedGateway: gateway(revoked, s.World.Site),
	} {
		if err := s.mint(ctx, s.info, caller, who); err != nil {
			return err
		}
	}
	admin := token.Identity{Subject: "fuzz-admin", Grants: everywhere()}
	if err := s.mintAt(ctx, s.info, Expired, admin, time.Now().Add(-2*lifetime)); err != nil {
		return err
	}
	other := s.info
	other.Issuer, other.Audience = "https://other.example", "insighthub-other"
	if err := s.mint(ctx, other, OtherStage, admin); err != nil {
		return err
	}
	s.tokens[Garbage] = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ."
	var err error
	s.tokens[Foreign], err = s.foreign()
	return err
}

// foreign returns the administrator's token, signed with a key that the platform does not have.
func (s *Stack) foreign() (string, error) {
	parts := strings.Split(s.tokens[AdminEverywhere], ".")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, t, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	signature := append(r.FillBytes(make([]byte, 32)), t.FillBytes(make([]byte, 32))...)
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// create creates something as administrator, and returns a member of the response.
func (s *Stack) create(ctx context.Context, path string, body object, member string) (string, error) {
	got, err := s.send(ctx, "POST", path, AdminEverywhere, body, http.StatusCreated)
	if err != nil {
		return "", err
	}
	var members object
	if err := json.Unmarshal(got.Body, &members); err != nil {
		return "", fmt.Errorf("POST %s: %w", path, err)
	}
	text, _ := members[member].(string)
	return text, nil
}

func (s *Stack) takeAway(ctx context.Context, path, method string, body object) error {
	_, err := s.send(ctx, method, path, AdminEverywhere, body, http.StatusOK)
	return err
}

func (s *Stack) send(ctx context.Context, method, path, caller string, body object, want int) (Response, error) {
	r := Request{Method: method, Path: path, Caller: caller, Headers: map[string]string{}}
	if method != http.MethodPost {
		r.Headers["If-Match"] = "*"
	}
	if body != nil {
		r.Body, _ = json.Marshal(body) // of plain values
		r.Headers["Content-Type"] = "application/json"
	}
	got, err := s.Do(ctx, r)
	if err == nil && got.Status != want {
		err = fmt.Errorf("%s %s: got %d %.300s, want %d", method, path, got.Status, got.Body, want)
	}
	return got, err
}

// sendEvents makes the gateway report its machines, and waits until they are stored.
func (s *Stack) sendEvents(ctx context.Context) error {
	events := []any{object{"device": s.World.Device, "metric": s.World.Metric, "time": time.Now().UnixMicro(), "value": 71.25}}
	for i := range disposables {
		events = append(events, object{
			"device": fmt.Sprintf("gone-%d", i), "metric": fmt.Sprintf("gone-%d", i), "time": time.Now().UnixMicro(), "value": 1,
		})
	}
	if _, err := s.send(ctx, "POST", "/v1/telemetry", GatewayHere, object{"events": events}, http.StatusAccepted); err != nil {
		return err
	}
	path := "/v1/sites/" + s.World.Site + "/gateways/" + s.World.Gateway + "/metrics/" + fmt.Sprintf("gone-%d", disposables-1)
	for {
		got, err := s.Do(ctx, Request{Method: "GET", Path: path, Caller: AdminEverywhere})
		if err != nil || got.Status == http.StatusOK {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the events are not stored: GET %s: %d: %w", path, got.Status, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Fresh implements Config.Fresh.
func (s *Stack) Fresh(ctx context.Context, operation string) (World, error) {
	w := s.World
	site := "/v1/sites/" + w.Site
	var err error
	switch operation {
	case "revokeGateway", "removeGatewayKey":
		w.Gateway = fmt.Sprintf("gone-%s-%d", s.unique, s.fresh.Add(1))
		key := publicKey()
		w.Key = thumbprint(key)
		_, err = s.create(ctx, site+"/gateways", object{"name": w.Gateway, "key": key}, "name")
	case "removeDevice", "removeMetric", "removeKPIConfig":
		name := fmt.Sprintf("gone-%d", (s.next.Add(1)-1)%disposables)
		w.Device, w.Metric = name, name
		if operation == "removeKPIConfig" {
			w.Device = s.World.Device
			sample := &sampler{world: s.World}
			path := site + "/gateways/" + w.Gateway + "/devices/" + w.Device + "/kpi-config"
			_, err = s.send(ctx, "PUT", path, AdminEverywhere, sample.kpiConfig(), http.StatusOK)
		}
	case "removeAlarmRule":
		w.Rule, err = s.create(ctx, site+"/alarm-rules", s.rule(), "id")
	}
	return w, err
}

// thumbprint returns a key's RFC 7638 thumbprint.
func thumbprint(key object) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, key["x"], key["y"]))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Do implements Target.
func (s *Stack) Do(ctx context.Context, r Request) (Response, error) {
	base, err := url.Parse(s.info.HTTP)
	if err != nil {
		return Response{}, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.info.HTTP, bytes.NewReader(r.Body))
	if err != nil {
		return Response{}, err
	}
	// The path is sent as it is.
	req.URL = &url.URL{Scheme: base.Scheme, Host: base.Host, Opaque: "//" + base.Host + r.Path, RawQuery: r.Query}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	if t := s.tokens[r.Caller]; t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	got, err := s.client.Do(req)
	if err != nil {
		return Response{}, err
	}
	defer got.Body.Close() //nolint:errcheck // read to its end
	out := Response{Status: got.StatusCode, Headers: make(map[string]string)}
	for name := range got.Header {
		switch name {
		case "Apigw-Requestid", "Content-Length", "Connection", "Date": // API Gateway's own
		default:
			out.Headers[strings.ToLower(name)] = got.Header.Get(name)
		}
	}
	out.Body, err = io.ReadAll(got.Body)
	return out, err
}
