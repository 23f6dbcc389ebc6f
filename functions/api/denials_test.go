package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/denylist/denylisttest"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
)

// denying is the function with a deny list, and the clock of the one who reads it.
type denying struct {
	*platform
	objects *denylisttest.Objects
	now     time.Time
}

func newDenying(t *testing.T) *denying {
	t.Helper()
	pool, dsn := timescaletest.OpenAs(t, timescale.FunctionAPI)
	d := &denying{objects: &denylisttest.Objects{}, now: time.Now()}
	log := slog.New(slog.DiscardHandler)
	reader, err := denylist.NewReader(denylist.ReaderConfig{
		Objects: d.objects, Log: log, Registerer: prometheus.NewRegistry(), Now: func() time.Time { return d.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	kpis := &fakeKPIs{}
	handler := wire(pool, log, services{
		files: exportBucket(t), kpis: kpis, ice: testICE(),
		publisher: denylist.Publisher{Source: pool, Objects: d.objects}, denials: reader,
	})
	d.platform = &platform{apitest.New(t, pool, dsn, handler), kpis}
	return d
}

// accepted reports whether the caller's token is, by an environment that has read the list
// within the last 5 s: before that it may not know better.
func (d *denying) accepted(t *testing.T, caller *lambdahttp.Caller) bool {
	t.Helper()
	d.now = d.now.Add(denylist.RefreshEvery)
	path := "/v1/sites/plant-1/ice-servers"
	switch a := d.Do(t, caller, "GET", path, ""); a.Status {
	case 200:
		return true
	case 401:
		return false
	default:
		t.Fatalf("got %d %s", a.Status, a.Body)
		return false
	}
}

// account creates an account that may see plant-1, and returns a caller with a token for it.
func (d *denying) account(t *testing.T, name string) *lambdahttp.Caller {
	t.Helper()
	body := fmt.Sprintf(`{"name":%q,"password":%q,"grants":{"plant-1":"operator"}}`, name, apitest.Password)
	id := d.Do(t, apitest.Administrator(), "POST", "/v1/users", body).Want(t, 201).Member(t, "id")
	caller := apitest.Person(id, "plant-1=operator")
	caller.Session, caller.Issued = "s-1", time.Now().Unix()
	d.present(t, caller, "SELECT version FROM account WHERE id::text = $1")
	return caller
}

// present sets the version of the caller's token to the present one: that of a token that is
// issued now.
func (d *denying) present(t *testing.T, caller *lambdahttp.Caller, query string) {
	t.Helper()
	version := timescaletest.Value(t, d.DSN, strings.Replace(query, "$1", "'"+caller.Subject+"'", 1))
	if _, err := fmt.Sscan(version, &caller.Version); err != nil {
		t.Fatal(err)
	}
}

// TestEveryWayOfTakingAway: after each, the tokens that were issued before are rejected, and
// the one that is issued next, in the same second, is accepted.
func TestEveryWayOfTakingAway(t *testing.T) {
	t.Parallel()
	d := newDenying(t)
	d.site(t, "plant-1")
	people := map[string]func(id string, self *lambdahttp.Caller) (caller *lambdahttp.Caller, method, path, body string){
		"disable": func(id string, _ *lambdahttp.Caller) (*lambdahttp.Caller, string, string, string) {
			return apitest.Administrator(), "PUT", "/v1/users/" + id, `{"disabled":true,"grants":{"plant-1":"operator"}}`
		},
		"remove the grant": func(id string, _ *lambdahttp.Caller) (*lambdahttp.Caller, string, string, string) {
			return apitest.Administrator(), "PUT", "/v1/users/" + id, `{"disabled":false,"grants":{"plant-2":"operator"}}`
		},
		"lower the role": func(id string, _ *lambdahttp.Caller) (*lambdahttp.Caller, string, string, string) {
			return apitest.Administrator(), "PUT", "/v1/users/" + id, `{"disabled":false,"grants":{"plant-1":"viewer"}}`
		},
		"reset the password": func(id string, _ *lambdahttp.Caller) (*lambdahttp.Caller, string, string, string) {
			return apitest.Administrator(), "PUT", "/v1/users/" + id + "/password", `{"password":"another long passphrase"}`
		},
		"change the own password": func(_ string, self *lambdahttp.Caller) (*lambdahttp.Caller, string, string, string) {
			return self, "PUT", "/v1/me/password",
				fmt.Sprintf(`{"old_password":%q,"password":"another long passphrase"}`, apitest.Password)
		},
	}
	n := 0
	for name, change := range people {
		n++
		caller, bystander := d.account(t, fmt.Sprint("user-", n)), d.account(t, fmt.Sprint("bystander-", n))
		if !d.accepted(t, caller) {
			t.Fatalf("%s: rejected before", name)
		}
		by, method, path, body := change(caller.Subject, caller)
		a := d.Do(t, by, method, path, body, "If-Match", "*")
		if a.Status != 200 && a.Status != 204 {
			t.Fatalf("%s: got %d %s", name, a.Status, a.Body)
		}
		if d.accepted(t, caller) {
			t.Errorf("%s: the token is accepted after it", name)
		}
		if !d.accepted(t, bystander) {
			t.Errorf("%s: another person's token is rejected", name)
		}
		d.present(t, caller, "SELECT version FROM account WHERE id::text = $1")
		if !d.accepted(t, caller) {
			t.Errorf("%s: the next token is rejected", name)
		}
	}

	jwk, _ := publicKey(t)
	gateways := map[string]func(path, kid string) (method, target, body string){
		"revoke":       func(path, _ string) (string, string, string) { return "DELETE", path, "" },
		"remove a key": func(path, kid string) (string, string, string) { return "DELETE", path + "/keys/" + kid, "" },
		"replace the keys": func(path, _ string) (string, string, string) {
			return "POST", path + "/keys", `{"others_end_after_seconds":0,"key":` + jwk + `}`
		},
	}
	for name, change := range gateways {
		n++
		caller := apitest.Gateway(telemetry.GatewayID(fmt.Sprint("gw-", n)), "plant-1")
		kid := d.register(t, "plant-1", caller.Subject)
		caller.Issued = time.Now().Unix()
		d.present(t, caller, "SELECT version FROM gateway WHERE name = $1")
		if !d.accepted(t, caller) {
			t.Fatalf("%s: rejected before", name)
		}
		method, target, body := change("/v1/sites/plant-1/gateways/"+caller.Subject, kid)
		if a := d.Do(t, apitest.Administrator(), method, target, body, "If-Match", "*"); a.Status >= 300 {
			t.Fatalf("%s: got %d %s", name, a.Status, a.Body)
		}
		if d.accepted(t, caller) {
			t.Errorf("%s: the token is accepted after it", name)
		}
		d.present(t, caller, "SELECT version FROM gateway WHERE name = $1")
		if !d.accepted(t, caller) {
			t.Errorf("%s: the next token is rejected", name)
		}
	}
}

// TestWhatTakesNothingAway denies nothing: a title, a rotation of keys with a time in which
// both are valid, another person's rights.
func TestWhatTakesNothingAway(t *testing.T) {
	t.Parallel()
	d := newDenying(t)
	d.site(t, "plant-1")
	caller := apitest.Gateway("gw-1", "plant-1")
	d.register(t, "plant-1", "gw-1")
	caller.Version, caller.Issued = 1, time.Now().Unix()
	jwk, _ := publicKey(t)
	d.Do(t, apitest.Administrator(), "PUT", "/v1/sites/plant-1/gateways/gw-1", `{"title":"North"}`, "If-Match", "*").Want(t, 200)
	d.Do(t, apitest.Administrator(), "POST", "/v1/sites/plant-1/gateways/gw-1/keys", `{"key":`+jwk+`}`).Want(t, 201)
	if !d.accepted(t, caller) {
		t.Error("the gateway's token is rejected")
	}
	if got := timescaletest.Value(t, d.DSN, "SELECT count(*) FROM denial"); got != "0" {
		t.Errorf("got %s denials, want none", got)
	}
}

// TestDenialNotPublished: the change is stored and the response says that its effect on
// tokens is not there yet. The next publication, anybody's, has it.
func TestDenialNotPublished(t *testing.T) {
	t.Parallel()
	d := newDenying(t)
	d.site(t, "plant-1")
	caller := d.account(t, "bob")
	d.objects.Set(func(s *denylisttest.State) { s.Down = true })
	path, body := "/v1/users/"+caller.Subject, `{"disabled":true,"grants":{"plant-1":"operator"}}`
	a := d.Do(t, apitest.Person("ada", "*=admin"), "PUT", path, body, "If-Match", "*").Want(t, 503)
	if !strings.Contains(a.Body, "stored") {
		t.Errorf("got %s, want what is stored", a.Body)
	}
	account, err := d.Pool.Account(t.Context(), directory.AccountID(caller.Subject))
	if err != nil || !account.Disabled {
		t.Errorf("got %+v, %v; want it disabled", account, err)
	}
	d.objects.Set(func(s *denylisttest.State) { s.Down = false })
	d.Do(t, apitest.Administrator(), "PUT", path, body, "If-Match", "*").Want(t, 200)
	if d.accepted(t, caller) {
		t.Error("the token is accepted after the repetition")
	}
}

// TestDenialsExpire: the table and the list do not grow.
func TestDenialsExpire(t *testing.T) {
	t.Parallel()
	d := newDenying(t)
	timescaletest.Exec(t, d.DSN, `INSERT INTO denial (subject, version, expires_at)
		SELECT n::text, 2, now() - interval '1 second' FROM generate_series(1, 2500) n`)
	timescaletest.Exec(t, d.DSN, `INSERT INTO denial (subject, version) VALUES ('gw-1', 2)`)
	for range 3 {
		denials, err := d.Pool.Denials(t.Context())
		if err != nil || len(denials) != 1 || denials[0].Subject != "gw-1" || denials[0].Version != 2 {
			t.Errorf("got %+v, %v; want that of gw-1", denials, err)
		}
	}
	if got := timescaletest.Value(t, d.DSN, "SELECT count(*) FROM denial"); got != "1" {
		t.Errorf("got %s rows, want 1", got)
	}
}
