package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Accounts gets tokens by logging in with accounts that an administrator creates, with
// random passwords, and disables at the end. An account cannot be deleted, so the names
// are fixed: each self-check enables the same accounts, and two must not run at once.
// A gateway has no account: Gateway, if set, returns its token.
type Accounts struct {
	API            API
	Name, Password string // of the administrator
	// NewPassword returns a random password.
	NewPassword func() string
	// Gateway returns the gateway's token; nil skips the gateway.
	Gateway func(ctx context.Context) (string, error)

	token   string            // of the administrator
	refresh string            // of the administrator
	ids     map[string]string // of the accounts, by name
}

var _ Tokens = (*Accounts)(nil)

// accountName returns the name of an identity's account.
func accountName(id Identity) string {
	return "audit-" + strings.ReplaceAll(string(id), " ", "-")
}

// Open implements Tokens.
func (a *Accounts) Open(ctx context.Context) (map[Identity]string, error) {
	a.ids = make(map[string]string)
	var err error
	if a.token, a.refresh, err = a.login(ctx, a.Name, a.Password); err != nil {
		return nil, fmt.Errorf("log in as %q: %w", a.Name, err)
	}
	tokens := make(map[Identity]string)
	for _, id := range Identities() {
		if id.grants() == nil {
			continue
		}
		if tokens[id], err = a.account(ctx, id); err != nil {
			return nil, fmt.Errorf("account of the %s: %w", id, err)
		}
	}
	if a.Gateway != nil {
		if tokens[AsGateway], err = a.Gateway(ctx); err != nil {
			return nil, fmt.Errorf("token of the gateway: %w", err)
		}
	}
	return tokens, nil
}

// account creates or enables an account, and logs in with it.
func (a *Accounts) account(ctx context.Context, id Identity) (string, error) {
	name, password := accountName(id), a.NewPassword()
	created, err := a.send(ctx, http.MethodPost, "/v1/users", map[string]any{"name": name, "password": password, "grants": id.grants()})
	if err != nil {
		return "", err
	}
	switch created.status {
	case http.StatusCreated:
		var document struct{ ID string }
		if err := json.Unmarshal(created.body, &document); err != nil {
			return "", fmt.Errorf("create %s: %w", name, err)
		}
		a.ids[name] = document.ID
	case http.StatusConflict:
		if err := a.enable(ctx, id, name, password); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("create %s: %v", name, created)
	}
	text, _, err := a.login(ctx, name, password)
	return text, err
}

// enable enables an account of an earlier self-check, with a new password.
func (a *Accounts) enable(ctx context.Context, id Identity, name, password string) error {
	account, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	a.ids[name] = account
	reset, err := a.send(ctx, http.MethodPut, "/v1/users/"+url.PathEscape(account)+"/password", map[string]any{"password": password})
	if err == nil && reset.status != http.StatusNoContent {
		err = fmt.Errorf("set the password of %s: %v", name, reset)
	}
	if err != nil {
		return err
	}
	return a.set(ctx, name, account, false, id)
}

// find looks an account up by its name.
func (a *Accounts) find(ctx context.Context, name string) (string, error) {
	for cursor := ""; ; {
		path := "/v1/users?limit=1000"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		page, err := a.API.get(ctx, path, a.token)
		if err != nil {
			return "", err
		}
		var list struct {
			Items []struct{ ID, Name string } `json:"items"`
			Next  string                      `json:"next_cursor"`
		}
		if err := json.Unmarshal(page.body, &list); err != nil || page.status != http.StatusOK {
			return "", fmt.Errorf("list the accounts: %v", page)
		}
		for _, u := range list.Items {
			if u.Name == name {
				return u.ID, nil
			}
		}
		if cursor = list.Next; cursor == "" {
			return "", fmt.Errorf("the account %s exists and is not listed", name)
		}
	}
}

func (a *Accounts) set(ctx context.Context, name, account string, disabled bool, id Identity) error {
	body := map[string]any{"disabled": disabled, "grants": map[string]string{}}
	if !disabled {
		body["grants"] = id.grants()
	}
	changed, err := a.send(ctx, http.MethodPut, "/v1/users/"+url.PathEscape(account), body)
	if err == nil && changed.status != http.StatusOK {
		err = fmt.Errorf("change %s: %v", name, changed)
	}
	return err
}

func (a *Accounts) send(ctx context.Context, method, path string, body any) (response, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return response{}, err
	}
	return a.API.do(ctx, request{
		method: method, path: path, token: a.token, body: string(raw), header: map[string]string{"If-Match": "*"},
	})
}

func (a *Accounts) login(ctx context.Context, name, password string) (access, refresh string, err error) {
	raw, err := json.Marshal(map[string]string{"name": name, "password": password})
	if err != nil {
		return "", "", err
	}
	got, err := a.API.do(ctx, request{method: http.MethodPost, path: "/v1/login", body: string(raw)})
	if err != nil {
		return "", "", err
	}
	var pair struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if got.status != http.StatusOK {
		return "", "", fmt.Errorf("the response of the login is %v", got)
	}
	if err := json.Unmarshal(got.body, &pair); err != nil || pair.Access == "" {
		return "", "", fmt.Errorf("the response of the login has no token: %w", err)
	}
	return pair.Access, pair.Refresh, nil
}

// Close implements Tokens. Disabling an account ends its sessions and removes its grants;
// its access tokens expire within ten minutes.
func (a *Accounts) Close(ctx context.Context) (string, error) {
	var problems []error
	names := slices.Sorted(maps.Keys(a.ids))
	for _, name := range names {
		if err := a.set(ctx, name, a.ids[name], true, Nobody); err != nil {
			problems = append(problems, err)
		}
	}
	if a.refresh != "" {
		out, err := a.send(ctx, http.MethodPost, "/v1/logout", map[string]string{"refresh_token": a.refresh})
		if err == nil && out.status != http.StatusNoContent {
			err = fmt.Errorf("log out: %v", out)
		}
		problems = append(problems, err)
	}
	if len(names) == 0 {
		return "no account was created", errors.Join(problems...)
	}
	return fmt.Sprintf("the accounts %s are disabled and have no grants", strings.Join(names, ", ")), errors.Join(problems...)
}
