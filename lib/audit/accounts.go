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

// Accounts are tokens of accounts that an administrator makes for the purpose, with
// passwords that nobody sees, and disables at the end. An account can not be deleted,
// so their names are fixed: each audit takes them up again, and two at once are in
// each other's way. Gateways are none of them: Gateway, if set, gives that token.
type Accounts struct {
	API            API
	Name, Password string // of the administrator
	// NewPassword returns one that can not be guessed.
	NewPassword func() string
	// Gateway returns the gateway's token; nil leaves the gateway out.
	Gateway func(ctx context.Context) (string, error)

	token   string            // of the administrator
	refresh string            // of the administrator
	made    map[string]string // ids of the accounts by name
}

var _ Tokens = (*Accounts)(nil)

// accountName of an identity.
func accountName(id Identity) string {
	return "audit-" + strings.ReplaceAll(string(id), " ", "-")
}

// Open implements Tokens.
func (a *Accounts) Open(ctx context.Context) (map[Identity]string, error) {
	a.made = make(map[string]string)
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

// account makes an account or takes it up again, and logs in with it.
func (a *Accounts) account(ctx context.Context, id Identity) (string, error) {
	name, password := accountName(id), a.NewPassword()
	made, err := a.send(ctx, http.MethodPost, "/v1/users", map[string]any{"name": name, "password": password, "grants": id.grants()})
	if err != nil {
		return "", err
	}
	switch made.status {
	case http.StatusCreated:
		var document struct{ ID string }
		if err := json.Unmarshal(made.body, &document); err != nil {
			return "", fmt.Errorf("make %s: %w", name, err)
		}
		a.made[name] = document.ID
	case http.StatusConflict:
		if err := a.takeUp(ctx, id, name, password); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("make %s: %v", name, made)
	}
	text, _, err := a.login(ctx, name, password)
	return text, err
}

// takeUp enables an account of an earlier audit, with another password.
func (a *Accounts) takeUp(ctx context.Context, id Identity, name, password string) error {
	account, err := a.find(ctx, name)
	if err != nil {
		return err
	}
	a.made[name] = account
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
		page, err := a.API.get(ctx, "/v1/users?limit=1000&cursor="+url.QueryEscape(cursor), a.token)
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
			return "", fmt.Errorf("the account %s is there and is not listed", name)
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

func (a *Accounts) send(ctx context.Context, method, path string, body any) (answer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	return a.API.ask(ctx, request{method: method, path: path, token: a.token, body: string(raw), header: map[string]string{"If-Match": "*"}})
}

func (a *Accounts) login(ctx context.Context, name, password string) (access, refresh string, err error) {
	raw, err := json.Marshal(map[string]string{"name": name, "password": password})
	if err != nil {
		return "", "", err
	}
	got, err := a.API.ask(ctx, request{method: http.MethodPost, path: "/v1/login", body: string(raw)})
	if err != nil {
		return "", "", err
	}
	var pair struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if got.status != http.StatusOK {
		return "", "", fmt.Errorf("the login answers %v", got)
	}
	if err := json.Unmarshal(got.body, &pair); err != nil || pair.Access == "" {
		return "", "", fmt.Errorf("the login answers without a token: %w", err)
	}
	return pair.Access, pair.Refresh, nil
}

// Close implements Tokens. Disabling an account ends its sessions and takes its
// grants; the tokens that are out lapse within ten minutes.
func (a *Accounts) Close(ctx context.Context) (string, error) {
	var problems []error
	names := slices.Sorted(maps.Keys(a.made))
	for _, name := range names {
		if err := a.set(ctx, name, a.made[name], true, Nobody); err != nil {
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
		return "no account was made", errors.Join(problems...)
	}
	return fmt.Sprintf("the accounts %s are disabled and without grants", strings.Join(names, ", ")), errors.Join(problems...)
}
