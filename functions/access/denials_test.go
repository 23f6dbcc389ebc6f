package main

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/insighthub/insighthub/lib/api/apitest"
	"github.com/insighthub/insighthub/lib/denylist"
	"github.com/insighthub/insighthub/lib/denylist/denylisttest"
	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/timescale/timescaletest"
	"github.com/insighthub/insighthub/lib/token"
)

// accepted reports whether an access token is accepted by an environment that reads the deny
// list now.
func (p *platform) accepted(t *testing.T, objects *denylisttest.Objects, text string) bool {
	t.Helper()
	reader, err := denylist.NewReader(denylist.ReaderConfig{
		Objects: objects, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := p.claims(t, text)
	denied, err := reader.Denied(context.WithoutCancel(t.Context()), denylist.Token{
		Subject: c.Subject, Session: c.Session, Version: c.Version, Issued: c.IssuedAt.Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return !denied
}

func (p *platform) claims(t *testing.T, text string) token.Claims {
	t.Helper()
	claims, err := p.verifier(t).Verify(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestEndedSessionsAreDenied: the access tokens of a session that ended are rejected, by a
// logout and by the reuse of a refresh token, and those of the person's other sessions are not.
func TestEndedSessionsAreDenied(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *platform, first apitest.Response, second apitest.Response){
		"logout": func(p *platform, _, second apitest.Response) {
			p.postJSON(t, "/v1/logout", map[string]string{"refresh_token": second.Member(t, "refresh_token")}).Want(t, 204)
		},
		"reuse": func(p *platform, first, _ apitest.Response) {
			timescaletest.Exec(t, p.DSN, "UPDATE refresh_token SET used_at = used_at - interval '11 seconds' WHERE used_at IS NOT NULL")
			p.refresh(t, first.Member(t, "refresh_token")).Want(t, 401)
		},
	} {
		p := newPlatform(t)
		other := p.login(t, "ada", secret)
		first := p.login(t, "ada", secret)
		second := p.refresh(t, first.Member(t, "refresh_token"))
		texts := []string{first.Member(t, "access_token"), second.Member(t, "access_token")}
		for _, text := range texts {
			if !p.accepted(t, p.denied, text) {
				t.Fatalf("%s: rejected before", name)
			}
		}
		if a, b := p.claims(t, texts[0]), p.claims(t, texts[1]); a.Session == "" || a.Session != b.Session || a.Version != 1 {
			t.Errorf("got the sessions %q and %q, version %d; want one session, version 1", a.Session, b.Session, a.Version)
		}
		end(p, first, second)
		for _, text := range texts {
			if p.accepted(t, p.denied, text) {
				t.Errorf("%s: an access token of the session is accepted", name)
			}
		}
		if !p.accepted(t, p.denied, other.Member(t, "access_token")) {
			t.Errorf("%s: an access token of another session is rejected", name)
		}
		if a := p.login(t, "ada", secret); !p.accepted(t, p.denied, a.Member(t, "access_token")) {
			t.Errorf("%s: an access token of the next login is rejected", name)
		}
	}
}

// TestLoginAndLogout: a script that logs in and out, sixty times within minutes and each
// minute of an hour, has each token accepted at once and refused after its logout; and the
// person's other session goes on.
func TestLoginAndLogout(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]string{"within minutes": "1 second", "within an hour": "1 minute"} {
		p := newPlatform(t)
		other := p.login(t, "ada", secret).Member(t, "access_token")
		var ended []string
		for n := range 60 {
			a := p.login(t, "ada", secret)
			text := a.Want(t, 200).Member(t, "access_token")
			if !p.accepted(t, p.denied, text) {
				t.Fatalf("%s: the token of login %d is rejected", name, n)
			}
			p.postJSON(t, "/v1/logout", map[string]string{"refresh_token": a.Member(t, "refresh_token")}).Want(t, 204)
			if ended = append(ended, text); p.accepted(t, p.denied, text) {
				t.Fatalf("%s: the token of login %d is accepted after its logout", name, n)
			}
			if !p.accepted(t, p.denied, other) {
				t.Fatalf("%s: another session is rejected after logout %d", name, n)
			}
			timescaletest.Exec(t, p.DSN, fmt.Sprintf(`UPDATE denial SET created_at = created_at - interval '%[1]s',
				expires_at = expires_at - interval '%[1]s'`, pause))
		}
		listed := 60
		if pause == "1 minute" {
			listed = 10 // the others' tokens have expired
		}
		for n, text := range ended[60-listed:] {
			if p.accepted(t, p.denied, text) {
				t.Errorf("%s: the token of login %d is accepted at the end", name, 60-listed+n)
			}
		}
	}
}

// TestTheOldestSessionEnds: the login beyond the bound of an account ends the oldest session,
// and denies its access token at once.
func TestTheOldestSessionEnds(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	first := p.login(t, "ada", secret)
	second := p.login(t, "ada", secret)
	for n := range directory.MaxSessions - 2 {
		timescaletest.Exec(t, p.DSN, fmt.Sprintf(`INSERT INTO refresh_token (hash, family, account_id, expires_at)
			SELECT sha256('%d'), gen_random_uuid(), id, now() + interval '1 hour' FROM account WHERE name = 'ada'`, n))
	}
	if !p.accepted(t, p.denied, first.Member(t, "access_token")) {
		t.Fatal("rejected before")
	}
	last := p.login(t, "ada", secret).Want(t, 200)
	if p.accepted(t, p.denied, first.Member(t, "access_token")) {
		t.Error("the access token of the session that ended is accepted")
	}
	p.refresh(t, first.Member(t, "refresh_token")).Want(t, 401)
	for _, a := range []apitest.Response{second, last} {
		if !p.accepted(t, p.denied, a.Member(t, "access_token")) {
			t.Error("another session is rejected")
		}
	}
	// A login does not fail because what it ended is not published.
	p.denied.Set(func(s *denylisttest.State) { s.Down = true })
	p.login(t, "ada", secret).Want(t, 200)
	p.denied.Set(func(s *denylisttest.State) { s.Down = false })
	p.postJSON(t, "/v1/logout", map[string]string{"refresh_token": last.Member(t, "refresh_token")}).Want(t, 204)
	if p.accepted(t, p.denied, second.Member(t, "access_token")) {
		t.Error("the next publication lacks it")
	}
}

// TestDeadRefreshTokens: whoever sends the tokens of a session that ended, again and again,
// adds nothing to the deny list and no entry of a reuse, and ends no other session.
func TestDeadRefreshTokens(t *testing.T) {
	t.Parallel()
	for name, reused := range map[string]int{"after a logout": 0, "after a reuse": 1} {
		p := newPlatform(t)
		other := p.login(t, "ada", secret)
		first := p.login(t, "ada", secret)
		second := p.refresh(t, first.Member(t, "refresh_token"))
		third := p.refresh(t, second.Member(t, "refresh_token"))
		if reused == 0 {
			p.postJSON(t, "/v1/logout", map[string]string{"refresh_token": third.Member(t, "refresh_token")}).Want(t, 204)
		}
		for range 20 {
			for _, dead := range []apitest.Response{first, second, third} {
				p.refresh(t, dead.Member(t, "refresh_token")).Want(t, 401)
			}
		}
		if got := timescaletest.Value(t, p.DSN, "SELECT count(*) FROM denial"); got != "1" {
			t.Errorf("%s: got %s denials, want 1", name, got)
		}
		if !p.accepted(t, p.denied, other.Member(t, "access_token")) {
			t.Errorf("%s: another session of the person is denied", name)
		}
		if got := p.Trail(t)["session.reuse"]; got != reused {
			t.Errorf("%s: got %d entries of a reuse, want %d", name, got, reused)
		}
	}
}

// TestLogoutNotPublished: a logout whose effect is not published is not confirmed, and its
// repetition is.
func TestLogoutNotPublished(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	a := p.login(t, "ada", secret)
	p.denied.Set(func(s *denylisttest.State) { s.Down = true })
	body := map[string]string{"refresh_token": a.Member(t, "refresh_token")}
	p.postJSON(t, "/v1/logout", body).Want(t, 503)
	p.denied.Set(func(s *denylisttest.State) { s.Down = false })
	p.postJSON(t, "/v1/logout", body).Want(t, 204)
	if p.accepted(t, p.denied, a.Member(t, "access_token")) {
		t.Error("the access token is accepted")
	}
}

// TestGatewayTokenHasVersion: the tokens of a gateway can be denied.
func TestGatewayTokenHasVersion(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	key, kid := p.gateway(t, "gw-1", "plant-1")
	timescaletest.Exec(t, p.DSN, "UPDATE gateway SET version = 41")
	a := p.token(t, assertion(t, key, kid, nil)).Want(t, 200)
	if c := p.claims(t, a.Member(t, "access_token")); c.Version != 41 || c.Subject != "gw-1" {
		t.Errorf("got %+v, want version 41", c)
	}
}
