package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/trail"
)

type account struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Disabled bool              `json:"disabled"`
	Grants   map[string]string `json:"grants"`
}

const secret = "correct horse battery staple"

// person makes an account and returns who its tokens speak for.
func (p *platform) person(t *testing.T, name, site, role string) caller {
	t.Helper()
	var made account
	p.do(t, administrator(), "POST", "/v1/users", fmt.Sprintf(`{"name":%q,"password":%q,"grants":{%q:%q}}`, name, secret, site, role)).want(t, 201).into(t, &made)
	who := person(made.ID, site+"="+role)
	return who
}

func (p *platform) session(t *testing.T, who caller) (live func() bool) {
	t.Helper()
	s := directory.Session{Family: who.Subject, Account: directory.AccountID(who.Subject), Expires: time.Now().Add(time.Hour)}
	copy(s.Hash[:], who.Subject)
	if err := p.pool.StartSession(t.Context(), s, trail.Entry{Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		return timescaletest.Value(t, p.dsn, "SELECT count(*) FROM refresh_token WHERE account_id = $1 AND revoked_at IS NULL", who.Subject) != "0"
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, " Bob ", "plant-1", "viewer")
	phc, err := p.pool.PasswordOf(t.Context(), directory.AccountID(bob.Subject))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := password.Verify(phc, secret); err != nil || !ok {
		t.Fatal(ok, err)
	}
	path := "/v1/users/" + bob.Subject
	a := p.do(t, administrator(), "GET", path, "").want(t, 200)
	var got account
	if a.into(t, &got); got.Name != "bob" || got.Grants["plant-1"] != "viewer" || strings.Contains(a.Body, "argon2id") {
		t.Errorf("got %s", a.Body)
	}
	p.do(t, administrator(), "POST", "/v1/users", fmt.Sprintf(`{"name":"BOB","password":%q}`, secret)).want(t, 409)
	live := p.session(t, bob)
	got = account{}
	p.do(t, administrator(), "PUT", path, `{"grants":{"plant-2":"operator"}}`, "If-Match", `"1"`).want(t, 200).into(t, &got)
	if len(got.Grants) != 1 || got.Grants["plant-2"] != "operator" || live() {
		t.Errorf("got %+v, session lives %t", got, live())
	}
	p.do(t, administrator(), "PUT", path, `{"disabled":true}`, "If-Match", `"1"`).want(t, 412)
	var page list[account]
	p.do(t, administrator(), "GET", "/v1/users", "").want(t, 200).into(t, &page)
	if len(page.Items) != 1 {
		t.Errorf("got %+v", page)
	}
	if got := p.checkTrail(t); got["account.create"] != 1 || got["account.change"] != 1 {
		t.Errorf("trail %v", got)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, "bob", "plant-1", "viewer")
	live := p.session(t, bob)
	change := func(old, next string) string { return fmt.Sprintf(`{"old_password":%q,"password":%q}`, old, next) }
	p.do(t, bob, "PUT", "/v1/me/password", change("wrong", secret+"!")).want(t, 403)
	p.do(t, bob, "PUT", "/v1/me/password", change(secret, "short")).want(t, 422)
	if !live() {
		t.Error("the session ended without a change")
	}
	p.do(t, bob, "PUT", "/v1/me/password", change(secret, secret+"!")).want(t, 204)
	if live() {
		t.Error("the session goes on with the new password")
	}
	p.do(t, bob, "PUT", "/v1/me/password", change(secret, secret+"?")).want(t, 403)
	p.do(t, administrator(), "PUT", "/v1/users/"+bob.Subject+"/password", fmt.Sprintf(`{"password":%q}`, secret)).want(t, 204)
	p.do(t, bob, "PUT", "/v1/me/password", change(secret, secret+"?")).want(t, 204)
	var me account
	if p.do(t, bob, "GET", "/v1/me", "").want(t, 200).into(t, &me); me.Name != "bob" {
		t.Errorf("got %+v", me)
	}
	p.do(t, administrator(), "GET", "/v1/me", "").want(t, 404) // ada has no account here
}

// TestAccountsOfOthers: administrators of single sites make no accounts, and nobody
// raises themselves.
func TestAccountsOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	eve := p.person(t, "eve", "plant-1", "admin")
	body := fmt.Sprintf(`{"name":"mal","password":%q,"grants":{"*":"admin"}}`, secret)
	p.do(t, eve, "POST", "/v1/users", body).want(t, 403)
	p.do(t, eve, "GET", "/v1/users", "").want(t, 403)
	p.do(t, eve, "PUT", "/v1/users/"+eve.Subject, `{"grants":{"*":"admin"}}`, "If-Match", "*").want(t, 403)
	p.do(t, eve, "PUT", "/v1/users/"+eve.Subject+"/password", fmt.Sprintf(`{"password":%q}`, secret)).want(t, 403)
	p.do(t, eve, "PUT", "/v1/me/password", fmt.Sprintf(`{"old_password":%q,"password":%q,"grants":{"*":"admin"}}`, secret, secret+"!")).want(t, 400)
	p.do(t, administrator(), "GET", "/v1/users/x'%20OR%20'1'='1", "").want(t, 404)
	for _, grants := range []string{`{"*":"root"}`, `{"":"viewer"}`, `{"a":"gateway"}`} {
		p.do(t, administrator(), "POST", "/v1/users", fmt.Sprintf(`{"name":"x","password":%q,"grants":%s}`, secret, grants)).want(t, 422)
	}
	root := p.person(t, "root", "*", "admin")
	p.do(t, root, "PUT", "/v1/users/"+root.Subject, `{"disabled":true,"grants":{"*":"admin"}}`, "If-Match", "*").want(t, 422)
}
