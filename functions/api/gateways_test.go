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
	good := func(kid string) bool {
		_, _, err := p.Pool.GatewayKey(t.Context(), "gw-1", kid, time.Now())
		return err == nil
	}
	if !good(kid) {
		t.Fatal("the key is not good")
	}
	// Rotated: both are good for an hour; then the old one is removed at once.
	jwk, next := publicKey(t)
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways/gw-1/keys", `{"key":`+jwk+`}`).Want(t, 201)
	var keys list[gatewayKey]
	p.Do(t, apitest.Administrator(), "GET", "/v1/sites/plant-1/gateways/gw-1/keys", "").Want(t, 200).Decode(t, &keys)
	if len(keys.Items) != 2 || keys.Items[0].ID != next || keys.Items[0].NotAfter != nil || keys.Items[1].NotAfter == nil {
		t.Errorf("got %+v", keys)
	}
	if !good(kid) || !good(next) {
		t.Error("the two keys are not good together")
	}
	p.Do(t, apitest.Administrator(), "DELETE", "/v1/sites/plant-1/gateways/gw-1/keys/"+kid, "").Want(t, 204)
	if good(kid) || !good(next) {
		t.Error("the old key was not removed alone")
	}
	a := p.Do(t, apitest.Administrator(), "DELETE", "/v1/sites/plant-1/gateways/gw-1", "", "If-Match", "*").Want(t, 200)
	var g gateway
	if a.Decode(t, &g); g.RevokedAt == nil || good(next) {
		t.Errorf("revoked: got %+v, key good %t", g, good(next))
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways/gw-1/keys", `{"key":`+jwk+`}`).Want(t, 409)
	want := map[string]int{"site.create": 1, "gateway.register": 1, "gateway.rotate": 1, "gateway.remove_key": 1, "gateway.revoke": 1}
	if got := p.Trail(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("trail %v", got)
	}
}

// TestRegisterKnownGateway: one that so far has sent events only is taken over by its
// own site, and by no other.
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
	p.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways", `{"name":"gw-2","key":`+jwk+`}`).Want(t, 409) // another's key
}

// TestGatewaysOfOthers reads and changes a gateway by the path of another site.
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
	// A cursor of one list is none of another's.
	p.register(t, "plant-2", "gw-3")
	var page list[gateway]
	p.Do(t, apitest.Administrator(), "GET", "/v1/sites/plant-2/gateways?limit=1", "").Want(t, 200).Decode(t, &page)
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
		"none":         `null`,
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
}
