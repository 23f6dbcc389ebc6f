package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/attempt"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
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

// person creates an account and returns it as caller.
func (p *platform) person(t *testing.T, name, site, role string) *lambdahttp.Caller {
	t.Helper()
	var created account
	body := fmt.Sprintf(`{"name":%q,"password":%q,"grants":{%q:%q}}`, name, apitest.Password, site, role)
	p.Do(t, apitest.Administrator(), "POST", "/v1/users", body).Want(t, 201).Decode(t, &created)
	return apitest.Person(created.ID, site+"="+role)
}

// session starts a session and returns whether it is still valid.
func (p *platform) session(t *testing.T, who *lambdahttp.Caller) (live func() bool) {
	t.Helper()
	s := directory.Session{Family: who.Subject, Account: directory.AccountID(who.Subject), Expires: time.Now().Add(time.Hour)}
	copy(s.Hash[:], who.Subject)
	if _, err := p.Owner.StartSession(t.Context(), s, trail.Entry{Detail: "{}"}); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		const query = "SELECT count(*) FROM refresh_token WHERE account_id = $1 AND revoked_at IS NULL"
		return timescaletest.Value(t, p.DSN, query, who.Subject) != "0"
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, " Bob ", "plant-1", "viewer")
	phc, err := p.Pool.PasswordOf(t.Context(), directory.AccountID(bob.Subject))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := password.Verify(phc, apitest.Password); err != nil || !ok {
		t.Fatal(ok, err)
	}
	path := "/v1/users/" + bob.Subject
	a := p.Do(t, apitest.Administrator(), "GET", path, "").Want(t, 200)
	var got account
	if a.Decode(t, &got); got.Name != "bob" || got.Grants["plant-1"] != "viewer" || strings.Contains(a.Body, "argon2id") {
		t.Errorf("got %s, want bob as viewer of plant-1, without the hash", a.Body)
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/users", fmt.Sprintf(`{"name":"BOB","password":%q}`, apitest.Password)).Want(t, 409)
	live := p.session(t, bob)
	got = account{}
	p.Do(t, apitest.Administrator(), "PUT", path, `{"disabled":false,"grants":{"plant-2":"operator"}}`, "If-Match", `"1"`).
		Want(t, 200).Decode(t, &got)
	if len(got.Grants) != 1 || got.Grants["plant-2"] != "operator" || live() {
		t.Errorf("got %+v, valid session %t, want the role operator at plant-2 and no session", got, live())
	}
	p.Do(t, apitest.Administrator(), "PUT", path, `{"disabled":true,"grants":{}}`, "If-Match", `"1"`).Want(t, 412)
	var page list[account]
	p.get(t, apitest.Administrator(), "/v1/users", &page)
	if len(page.Items) != 1 {
		t.Errorf("got %+v", page)
	}
	if got := p.Trail(t); got["account.create"] != 1 || got["account.change"] != 1 {
		t.Errorf("trail %v", got)
	}
}

// TestSessionsEndWhenSomethingIsTaken: a change that takes nothing away leaves the sessions.
func TestSessionsEndWhenSomethingIsTaken(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, "bob", "plant-1", "operator")
	live := p.session(t, bob)
	for _, c := range []struct {
		body string
		live bool
	}{
		{`{"disabled":false,"grants":{"plant-1":"operator"}}`, true},
		{`{"disabled":false,"grants":{"plant-1":"admin","plant-2":"viewer"}}`, true},
		{`{"disabled":false,"grants":{"*":"admin"}}`, true},
		{`{"disabled":false,"grants":{"*":"operator"}}`, false},
	} {
		p.Do(t, apitest.Administrator(), "PUT", "/v1/users/"+bob.Subject, c.body, "If-Match", "*").Want(t, 200)
		if live() != c.live {
			t.Errorf("after %s: got a live session %t, want %t", c.body, live(), c.live)
		}
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, "bob", "plant-1", "viewer")
	live := p.session(t, bob)
	change := func(old, next string) string { return fmt.Sprintf(`{"old_password":%q,"password":%q}`, old, next) }
	p.Do(t, bob, "PUT", "/v1/me/password", change("wrong", apitest.Password+"!")).Want(t, 403)
	p.Do(t, bob, "PUT", "/v1/me/password", change(apitest.Password, "short")).Want(t, 422)
	if !live() {
		t.Error("the session ended although the password was not changed")
	}
	p.Do(t, bob, "PUT", "/v1/me/password", change(apitest.Password, apitest.Password+"!")).Want(t, 204)
	if live() {
		t.Error("the session is still valid after the password was changed")
	}
	p.Do(t, bob, "PUT", "/v1/me/password", change(apitest.Password, apitest.Password+"?")).Want(t, 403)
	reset := fmt.Sprintf(`{"password":%q}`, apitest.Password)
	p.Do(t, apitest.Administrator(), "PUT", "/v1/users/"+bob.Subject+"/password", reset).Want(t, 204)
	p.Do(t, bob, "PUT", "/v1/me/password", change(apitest.Password, apitest.Password+"?")).Want(t, 204)
	var me account
	if p.get(t, bob, "/v1/me", &me); me.Name != "bob" {
		t.Errorf("got %+v", me)
	}
	p.Do(t, apitest.Administrator(), "GET", "/v1/me", "").Want(t, 404) // ada has no account here
}

// TestOldPasswordGuesses: whoever has a person's access token guesses the password no faster
// than a stranger at the login, with the same counter, and each guess is in the trail.
func TestOldPasswordGuesses(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	bob := p.person(t, "bob", "plant-1", "viewer")
	results := make(chan apitest.Response)
	for i := range 20 { // at once
		go func() {
			results <- p.Do(t, bob, "PUT", "/v1/me/password",
				fmt.Sprintf(`{"old_password":"guess %d","password":"a new phrase for the crane"}`, i))
		}()
	}
	got := make(map[int]int)
	for range 20 {
		a := <-results
		if got[a.Status]++; a.Status == 429 && a.Headers["retry-after"] == "" {
			t.Errorf("got %+v, want Retry-After", a)
		}
	}
	// On a slow machine some of the first waits, 1, 2 and 4 s, end meanwhile.
	if got[403] < attempt.FreeByName || got[403] > attempt.FreeByName+4 || got[403]+got[429] != 20 {
		t.Errorf("got %v, want %d guesses verified, or a few more", got, attempt.FreeByName)
	}
	const lock = "UPDATE login_attempt SET locked_until = now() + interval '1 hour' WHERE locked_until IS NOT NULL"
	timescaletest.Exec(t, p.DSN, lock)
	if locked, err := p.Pool.BeginAttempt(t.Context(), attempt.KeysOf("bob", "198.51.100.1"), time.Now()); err != nil || locked.IsZero() {
		t.Errorf("the login from elsewhere: got a lock until %v, %v, want the same counter", locked, err)
	}
	right := fmt.Sprintf(`{"old_password":%q,"password":"a new phrase for the crane"}`, apitest.Password)
	p.Do(t, bob, "PUT", "/v1/me/password", right).Want(t, 429)
	if got := p.Trail(t); got["password.refuse"] < attempt.FreeByName {
		t.Errorf("trail %v, want each verified guess", got)
	}
	actor := timescaletest.Value(t, p.DSN, "SELECT min(actor) FROM trail WHERE action = 'password.refuse'")
	if actor != bob.Subject {
		t.Errorf("got actor %q, want %q", actor, bob.Subject)
	}
	timescaletest.Exec(t, p.DSN, "UPDATE login_attempt SET locked_until = now() - interval '1 second'")
	p.Do(t, bob, "PUT", "/v1/me/password", right).Want(t, 204)
	if n := timescaletest.Value(t, p.DSN, "SELECT sum(failures) FROM login_attempt"); n != "0" {
		t.Errorf("got %s failures after a success from the same place, want 0", n)
	}
}

// TestOwnPasswordNeedsTheOld: an administrator's access token alone does not set the
// administrator's password.
func TestOwnPasswordNeedsTheOld(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	root := p.person(t, "root", "*", "admin")
	p.Do(t, root, "PUT", "/v1/users/"+root.Subject+"/password", `{"password":"a new phrase for the crane"}`).Want(t, 403)
	p.Do(t, apitest.Administrator(), "PUT", "/v1/users/"+root.Subject+"/password",
		`{"password":"a new phrase for the crane"}`).Want(t, 204)
}

// TestNoFastHash: what is stored of a request with a password is no fast hash of it.
func TestNoFastHash(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	body := fmt.Sprintf(`{"name":"bob","password":%q}`, apitest.Password)
	p.Do(t, apitest.Administrator(), "POST", "/v1/users", body, "Idempotency-Key", "k").Want(t, 201)
	a := p.Do(t, apitest.Administrator(), "POST", "/v1/users", body, "Idempotency-Key", "k").Want(t, 201)
	if a.Headers["idempotency-replayed"] != "true" {
		t.Errorf("got %+v, want the stored response", a)
	}
	p.Do(t, apitest.Administrator(), "POST", "/v1/users", body+" ", "Idempotency-Key", "k").Want(t, 409)
	fast := sha256.Sum256([]byte("POST /v1/users?\n" + body))
	stored := timescaletest.Value(t, p.DSN, "SELECT encode(request, 'hex') FROM idempotency")
	if len(stored) != 64 || stored == hex.EncodeToString(fast[:]) {
		t.Errorf("got %s, want another digest than SHA-256", stored)
	}
}

// TestNewNames: names that look like others, and passwords that are guessed first, are
// rejected with a reason, and the forms of a name are one name.
func TestNewNames(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.person(t, "Ａｄａ", "plant-1", "viewer")
	var page list[account]
	if p.get(t, apitest.Administrator(), "/v1/users", &page); len(page.Items) != 1 || page.Items[0].Name != "ada" {
		t.Fatalf("got %+v, want ada", page)
	}
	user := func(name, given string) string { return fmt.Sprintf(`{"name":%q,"password":%q}`, name, given) }
	for body, want := range map[string]string{
		user("ADA", apitest.Password): "409", user("аda", apitest.Password): "name: must not mix the scripts Cyrillic and Latin",
		user("a\u200bda", apitest.Password): "name: must not have characters that cannot be seen, such as U+200B",
		user("ada\u202e", apitest.Password): "name: must not have characters that cannot be seen, such as U+202E",
		user("аԁа", apitest.Password):       "name: looks like", user("ɑda", apitest.Password): "name: looks like",
		user("carl", "aaaaaaaaaaaaaaaaaaaa"): "password: is too easy to guess",
		user("carl", "Passw0rdPassw0rd"):     "password: is too easy to guess",
		user("carl", "carl carl carl carl"):  "password: is too easy to guess",
		user("carl", "short"):                "password: must be at least 15 characters",
	} {
		a := p.Do(t, apitest.Administrator(), "POST", "/v1/users", body)
		if want == "409" {
			a.Want(t, 409)
		} else if a.Want(t, 422); !strings.Contains(a.Body, want) {
			t.Errorf("%s: got %s, want %q", body, a.Body, want)
		}
	}
}

// TestAccountsOfOthers checks that administrators of single sites cannot manage accounts,
// and that nobody can extend their own grants.
func TestAccountsOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	eve := p.person(t, "eve", "plant-1", "admin")
	body := fmt.Sprintf(`{"name":"mal","password":%q,"grants":{"*":"admin"}}`, apitest.Password)
	p.Do(t, eve, "POST", "/v1/users", body).Want(t, 403)
	p.Do(t, eve, "GET", "/v1/users", "").Want(t, 403)
	p.Do(t, eve, "PUT", "/v1/users/"+eve.Subject, `{"grants":{"*":"admin"}}`, "If-Match", "*").Want(t, 403)
	p.Do(t, eve, "PUT", "/v1/users/"+eve.Subject+"/password", fmt.Sprintf(`{"password":%q}`, apitest.Password)).Want(t, 403)
	body = fmt.Sprintf(`{"old_password":%q,"password":%q,"grants":{"*":"admin"}}`, apitest.Password, apitest.Password+"!")
	p.Do(t, eve, "PUT", "/v1/me/password", body).Want(t, 400)
	p.Do(t, apitest.Administrator(), "GET", "/v1/users/x'%20OR%20'1'='1", "").Want(t, 404)
	for _, grants := range []string{`{"*":"root"}`, `{"":"viewer"}`, `{"a":"gateway"}`} {
		body := fmt.Sprintf(`{"name":"x","password":%q,"grants":%s}`, apitest.Password, grants)
		p.Do(t, apitest.Administrator(), "POST", "/v1/users", body).Want(t, 422)
	}
	root := p.person(t, "root", "*", "admin")
	p.Do(t, root, "PUT", "/v1/users/"+root.Subject, `{"disabled":true,"grants":{"*":"admin"}}`, "If-Match", "*").Want(t, 422)
}
