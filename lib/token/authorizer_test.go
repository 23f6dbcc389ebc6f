package token_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/token"
	"github.com/insighthub/insighthub/lib/token/tokentest"
)

const notAuthorized = `{"isAuthorized":false}`

// TestResponses compares the whole context: the functions behind the routes rely on each member.
func TestResponses(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	until, issued := float64(b.now.Add(token.GatewayLifetime+token.ClockSkew).Unix()), float64(b.now.Unix())
	session := tokentest.PersonOf("u-3", "plant-1", token.Viewer)
	session.Session, session.Version = "s-1", 7
	for _, c := range []struct {
		who  token.Identity
		want map[string]any
	}{
		{gatewayOne(), map[string]any{
			"subject": "gw-1", "gateway": "gw-1", "site": "plant-1", "role": "gateway", "expires": until, "issued": issued,
		}},
		{
			tokentest.PersonOf("u-1", "plant-1", token.Operator),
			map[string]any{"subject": "u-1", "grants": map[string]any{"plant-1": "operator"}, "expires": until, "issued": issued},
		},
		{
			session,
			map[string]any{
				"subject": "u-3", "grants": map[string]any{"plant-1": "viewer"}, "expires": until, "issued": issued,
				"session": "s-1", "version": 7.,
			},
		},
		{token.Identity{Subject: "u-2", Grants: sites()}, map[string]any{"subject": "u-2", "expires": until, "issued": issued}},
	} {
		raw, err := b.authorizer.Invoke(t.Context(), event(t, "Bearer "+b.mint(t, c.who)))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			IsAuthorized bool           `json:"isAuthorized"`
			Context      map[string]any `json:"context"`
		}
		if err := json.Unmarshal(raw, &got); err != nil || !got.IsAuthorized {
			t.Fatalf("%s: %v", raw, err)
		}
		if id, ok := got.Context["token_id"].(string); !ok || len(id) != 22 {
			t.Errorf("got token_id %v, want 22 characters", got.Context["token_id"])
		}
		delete(got.Context, "token_id")
		if diff := cmp.Diff(c.want, got.Context); diff != "" {
			t.Errorf("context (-want +got):\n%s", diff)
		}
	}
}

// TestResponseDependsOnTheTokenAlone: API Gateway caches it for every route and method.
func TestResponseDependsOnTheTokenAlone(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	text := b.mint(t, gatewayOne())
	first, err := b.authorizer.Invoke(t.Context(), event(t, "Bearer "+text))
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(map[string]any{
		"version": "2.0", "type": "REQUEST", "routeArn": "arn:aws:execute-api:x", "routeKey": "DELETE /v1/sites/plant-2",
		"rawPath":        "/v1/sites/plant-2",
		"identitySource": []string{"Bearer " + text}, "headers": map[string]string{"authorization": "Bearer x", "x-role": "admin"},
		"queryStringParameters": map[string]string{"site": "plant-2"}, "cookies": []string{"a=b"},
		"requestContext": map[string]any{"requestId": "r-2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.authorizer.Invoke(t.Context(), other)
	if err != nil || string(first) != string(second) {
		t.Errorf("got %s, then %s, %v; want the same response", first, second, err)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	text := b.mint(t, gatewayOne())
	headers := func(h string) []byte {
		return []byte(`{"version":"2.0","type":"REQUEST","headers":{"Authorization":"` + h + `"}}`)
	}
	for name, c := range map[string]struct {
		payload []byte
		want    bool
	}{
		"bearer":              {event(t, "Bearer "+text), true},
		"in lower case":       {event(t, "bearer "+text), true},
		"headers alone":       {headers("Bearer " + text), true},
		"no header":           {[]byte(`{"version":"2.0","type":"REQUEST","headers":{}}`), false},
		"no scheme":           {event(t, text), false},
		"another scheme":      {event(t, "Basic "+text), false},
		"bearer of nothing":   {event(t, "Bearer "), false},
		"bearer alone":        {event(t, "Bearer"), false},
		"two spaces":          {event(t, "Bearer  "+text), false},
		"space before":        {event(t, " Bearer "+text), false},
		"two headers":         {event(t, "Bearer "+text+",Bearer "+text), false},
		"parameters":          {event(t, "Bearer "+text+"; a=b"), false},
		"no identity source":  {[]byte(`{"version":"2.0","type":"REQUEST","identitySource":[]}`), false},
		"null in its place":   {[]byte(`{"version":"2.0","type":"REQUEST","identitySource":null,"headers":null}`), false},
		"an empty credential": {event(t, ""), false},
	} {
		got, err := b.authorizer.Invoke(t.Context(), c.payload)
		if err != nil || (string(got) != notAuthorized) != c.want {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	for name, payload := range map[string]string{
		"not JSON": `{"identitySource":["Bearer ` + text + `"`, "format 1.0": `{"version":"1.0","type":"REQUEST"}`,
		"a token authorizer": `{"version":"2.0","type":"TOKEN"}`,
		"of wrong kinds":     `{"version":"2.0","type":"REQUEST","identitySource":"Bearer ` + text + `"}`, "nothing": ``,
	} {
		if got, err := b.authorizer.Invoke(t.Context(), []byte(payload)); err == nil || strings.Contains(err.Error(), text[:20]) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	if strings.Contains(b.log.String(), text[:20]) {
		t.Error("the log contains a token")
	}
}

// TestTokenExpires: a token that was accepted expires.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	text := b.mint(t, gatewayOne())
	for range 2 {
		b.accepts(t, "valid", text)
	}
	b.now = b.now.Add(time.Hour)
	b.rejects(t, "expired", text)
}

// denials denies one token, or knows nothing.
type denials struct {
	token denylist.Token
	err   error
}

func (d denials) Denied(_ context.Context, t denylist.Token) (bool, error) {
	return t == d.token, d.err
}

type refused []token.Refusal

func (r *refused) Refused(one token.Refusal) { *r = append(*r, one) }

// TestDenied: a denied token is rejected and reported. While the list is unavailable the
// functions behind the routes decide.
func TestDenied(t *testing.T) {
	t.Parallel()
	b := newPlatform(t)
	who := tokentest.PersonOf("u-1", "plant-1", token.Operator)
	who.Session, who.Version = "s-1", 7
	mallory := denylist.Token{Subject: "u-1", Session: "s-1", Version: 7, Issued: b.now.Unix()}
	payload := event(t, "Bearer "+b.mint(t, who))
	for _, c := range []struct {
		denials denials
		want    bool
	}{
		{denials{}, true},
		{denials{token: mallory}, false},
		{denials{err: telemetry.ErrUnavailable}, true},
	} {
		var log refused
		a := token.NewAuthorizer(token.AuthorizerConfig{
			Verifier: b.verifier, Log: slog.New(slog.DiscardHandler), Denials: c.denials, Refusals: &log,
		})
		got, err := a.Invoke(t.Context(), payload)
		if authorized := strings.Contains(string(got), `"isAuthorized":true`); err != nil || authorized != c.want {
			t.Errorf("%+v: got %s, %v; want authorized %t", c.denials, got, err, c.want)
		}
		if c.want != (len(log) == 0) || !c.want && log[0].Reason != "what it was issued for was taken away" {
			t.Errorf("%+v: reported %+v", c.denials, log)
		}
	}
}
