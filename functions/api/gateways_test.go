package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/api/apitest"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
)

// publicKey returns a new key as a JWK, and its kid.
func publicKey(t *testing.T) (jwk, kid string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := token.MarshalPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if kid, err = token.KeyID(&key.PublicKey); err != nil {
		t.Fatal(err)
	}
	return string(raw), kid
}

type gateway struct {
	Name         string     `json:"name"`
	Site         string     `json:"site"`
	RegisteredAt *time.Time `json:"registered_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
}

type gatewayKey struct {
	ID       string     `json:"kid"`
	NotAfter *time.Time `json:"not_after"`
}

func (p *platform) register(t *testing.T, site, name string) (kid string) {
	t.Helper()
	jwk, kid := publicKey(t)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/"+site+"/gateways", fmt.Sprintf(`{"name":%q,"key":%s}`, name, jwk)).Want(t, 201)
	return kid
}

func TestGateways(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	kid := p.register(t, "plant-1", "gw-1")
	valid := func(kid string) bool {
		_, _, err := p.Pool.GatewayKey(t.Context(), "gw-1", kid, time.Now())
		return err == nil
	}
	if !valid(kid) {
		t.Fatal("the first key is not valid")
	}
	// After a rotation both keys are valid for an hour. Then the old one is removed.
	jwk, next := publicKey(t)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways/gw-1/keys", `{"key":`+jwk+`}`).Want(t, 201)
	var keys list[gatewayKey]
	p.get(t, apitest.Administrator(), "/v1/sites/plant-1/gateways/gw-1/keys", &keys)
	if len(keys.Items) != 2 || keys.Items[0].ID != next || keys.Items[0].NotAfter != nil || keys.Items[1].NotAfter == nil {
		t.Errorf("got %+v", keys)
	}
	if !valid(kid) || !valid(next) {
		t.Error("after the rotation, not both keys are valid")
	}
	p.Do(t, apitest.Administrator(), "DELETE", "/v1/sites/plant-1/gateways/gw-1/keys/"+kid, "").Want(t, 204)
	if valid(kid) || !valid(next) {
		t.Error("after the removal: got old key valid or new key not valid")
	}
	a := p.Do(t, apitest.Administrator(), "DELETE", "/v1/sites/plant-1/gateways/gw-1", "", "If-Match", "*").Want(t, 200)
	var g gateway
	if a.Decode(t, &g); g.RevokedAt == nil || valid(next) {
		t.Errorf("revoked: got %+v, key valid %t", g, valid(next))
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways/gw-1/keys", `{"key":`+jwk+`}`).Want(t, 409)
	want := map[string]int{"site.create": 1, "gateway.register": 1, "gateway.rotate": 1, "gateway.remove_key": 1, "gateway.revoke": 1}
	if got := p.Trail(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("trail %v", got)
	}
}

// TestRegisterKnownGateway checks that a gateway that was created by its events can be
// registered by its own site only.
func TestRegisterKnownGateway(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	timescaletest.Exec(t, p.DSN, "INSERT INTO gateway (name, site, site_since) VALUES ('gw-1', 'plant-1', now())")
	jwk, _ := publicKey(t)
	body := `{"name":"gw-1","key":` + jwk + `}`
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-2/gateways", body).Want(t, 409)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", body).Want(t, 201)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", body).Want(t, 409)
	body = `{"name":"gw-2","key":` + jwk + `}` // another gateway's key
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", body).Want(t, 409)
}

// TestNamesOfOtherSites: the administrator of one site cannot find out which gateways and keys
// other sites have; the response does not depend on it.
func TestNamesOfOtherSites(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for _, site := range []string{"plant-1", "plant-2", "plant-1:b"} {
		p.site(t, site)
	}
	kid := p.register(t, "plant-2", "gw-2")
	taken, _ := p.Pool.GatewayKeys(t.Context(), "plant-2", "gw-2")
	eve := apitest.Person("eve", "plant-1=admin")
	register := func(who *lambdahttp.Caller, name, jwk string) apitest.Response {
		return p.Do(t, who, "POST", "/v1/sites/plant-1/gateways", fmt.Sprintf(`{"name":%q,"key":%s}`, name, jwk))
	}
	fresh, _ := publicKey(t)
	want := register(eve, "gw-0", fresh).Want(t, 422).Body // nobody has this name
	for _, name := range []string{"gw-2", "plant-2:x", "plant-1:b:x", "plant-1:", "plant-1"} {
		if got := register(eve, name, fresh).Want(t, 422).Body; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	register(eve, "plant-1:gw-0", fresh).Want(t, 201)
	register(eve, "plant-1:gw-0", fresh).Want(t, 409)                // her own
	register(eve, "plant-1:gw-1", fresh).Want(t, 409)                // the key of her own
	register(eve, "plant-1:gw-2", string(taken[0].JWK)).Want(t, 201) // the key of another site
	timescaletest.Exec(t, p.DSN, "INSERT INTO gateway (name, site, site_since) VALUES ('gw-7', 'plant-1', now())")
	another, _ := publicKey(t)
	register(eve, "gw-7", another).Want(t, 201) // it reported for her site
	if a := register(apitest.Administrator(), "plant-2:x", another).Want(t, 422); !strings.Contains(a.Body, "belongs to the site") {
		t.Errorf("got %s", a.Body)
	}
	third, _ := publicKey(t)
	register(apitest.Administrator(), "gw-2", third).Want(t, 409) // sees every site
	register(apitest.Administrator(), "line:7", third).Want(t, 201)
	for _, name := range []string{"00000000-0000-4000-8000-000000000001", "https://issuer.test|eve", "gw\u200b2", "gаteway"} {
		register(apitest.Administrator(), name, third).Want(t, 422)
	}
	keys, err := p.Pool.GatewayKeys(t.Context(), "plant-2", "gw-2")
	if err != nil || len(keys) != 1 || keys[0].ID != kid || !keys[0].NotAfter.IsZero() {
		t.Errorf("gw-2 has the keys %+v, %v, want its own", keys, err)
	}
}

// TestGatewaysOfOthers checks that a gateway of another site cannot be read or changed.
func TestGatewaysOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	p.site(t, "plant-2")
	kid := p.register(t, "plant-2", "gw-2")
	jwk, _ := publicKey(t)
	eve := apitest.Person("eve", "plant-1=admin")
	for _, site := range []string{"plant-1", "plant-2", "*", "%2A", "plant-1%2F..%2Fplant-2"} {
		path := "/v1/sites/" + site + "/gateways/gw-2"
		p.Do(t, eve, "GET", path, "").Want(t, 404)
		p.Do(t, eve, "PUT", path, `{"title":"x"}`, "If-Match", "*").Want(t, 404)
		p.Do(t, eve, "DELETE", path, "", "If-Match", "*").Want(t, 404)
		p.Do(t, eve, "GET", path+"/keys", "").Want(t, 404)
		p.Do(t, eve, "POST", path+"/keys", `{"key":`+jwk+`}`).Want(t, 404)
		p.Do(t, eve, "DELETE", path+"/keys/"+kid, "").Want(t, 404)
	}
	// A cursor is valid for its own list only.
	p.register(t, "plant-2", "gw-3")
	var page list[gateway]
	p.get(t, apitest.Administrator(), "/v1/sites/plant-2/gateways?limit=1", &page)
	p.Do(t, eve, "GET", "/v1/sites/plant-1/gateways?cursor="+page.Next, "").Want(t, 400)
	if got := p.Trail(t); len(got) != 2 {
		t.Errorf("trail %v", got)
	}
}

func TestGatewayBadKeys(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.site(t, "plant-1")
	jwk, _ := publicKey(t)
	for name, key := range map[string]string{
		"private":      strings.Replace(jwk, `{`, `{"d":"AAAA",`, 1),
		"RSA":          `{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
		"symmetric":    `{"kty":"oct","k":"AAAA"}`,
		"no point":     `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`,
		"other curve":  strings.Replace(jwk, "P-256", "P-384", 1),
		"member twice": strings.Replace(jwk, `{`, `{"kty":"EC",`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", `{"name":"gw-1","key":`+key+`}`).Want(t, 422)
		})
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", `{"name":"gw-1","key":null}`).Want(t, 400)
}
