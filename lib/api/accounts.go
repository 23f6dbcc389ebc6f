package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/insighthub/insighthub/lib/credential"
	"github.com/insighthub/insighthub/lib/directory"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/lookalike"
	"github.com/insighthub/insighthub/lib/naming"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Accounts stores people's accounts. A change that revokes something ends the account's
// sessions in the same transaction.
type Accounts interface {
	Accounts(ctx context.Context, page directory.Page) ([]directory.Account, error)
	Account(ctx context.Context, id directory.AccountID) (directory.Account, error)
	// CreateAccount stores an account with the PHC string of its password;
	// telemetry.ErrConflict when the name is taken.
	CreateAccount(ctx context.Context, a directory.Account, phc string, entry trail.Entry) (directory.Account, error)
	// ChangeAccount sets Disabled and Grants.
	ChangeAccount(ctx context.Context, a directory.Account, from directory.Version, entry trail.Entry) (directory.Account, error)
	// ChangePassword sets the password and ends all sessions. telemetry.ErrConflict when
	// old is not empty and not the present PHC string.
	ChangePassword(ctx context.Context, id directory.AccountID, old, phc string, entry trail.Entry) error
	// PasswordOf returns the PHC string.
	PasswordOf(ctx context.Context, id directory.AccountID) (string, error)
}

// Passwords verifies passwords, and counts and records the wrong ones; see lib/credential.
type Passwords interface {
	Check(ctx context.Context, a credential.Attempt, secret string, find func(context.Context) (credential.Stored, error)) error
}

// NoPasswords verifies no password: nobody changes one.
type NoPasswords struct{}

// Check implements Passwords.
func (NoPasswords) Check(context.Context, credential.Attempt, string, func(context.Context) (credential.Stored, error)) error {
	return fmt.Errorf("passwords: %w", telemetry.ErrUnavailable)
}

func (h *Handler) accountRoutes() []route {
	return []route{
		{pattern: "GET /v1/users", role: directory.Admin, platform: true, serve: h.listAccounts, parameters: pages()},
		{pattern: "POST /v1/users", role: directory.Admin, platform: true, serve: h.createAccount, create: true, secret: true},
		{pattern: "GET /v1/users/{user}", role: directory.Admin, platform: true, serve: h.getAccount},
		{pattern: "PUT /v1/users/{user}", role: directory.Admin, platform: true, serve: h.changeAccount},
		{pattern: "PUT /v1/users/{user}/password", role: directory.Admin, platform: true, serve: h.resetPassword},
		{pattern: "GET /v1/me", role: directory.Viewer, serve: h.getMe},
		{pattern: "PUT /v1/me/password", role: directory.Viewer, serve: h.changeMyPassword},
	}
}

type grants map[telemetry.SiteID]directory.Role

func (g grants) check(f *fields) {
	f.require(len(g) <= directory.MaxGrants, "grants", fmt.Sprintf("must be at most %d", directory.MaxGrants))
	for _, site := range slices.Sorted(maps.Keys(g)) {
		f.require(telemetry.ValidName(site) == nil, "grants", "must have names of sites, or *, as members")
		f.require(slices.Contains([]directory.Role{directory.Viewer, directory.Operator, directory.Admin}, g[site]),
			"grants", "roles must be viewer, operator or admin")
	}
}

type accountDocument struct {
	ID        directory.AccountID `json:"id"`
	Name      string              `json:"name"`
	Disabled  bool                `json:"disabled"`
	Grants    grants              `json:"grants"`
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
	// Warnings name the sites of grants that do not exist, each as "member: reason".
	Warnings []string `json:"warnings,omitempty"`
}

func viewAccount(a directory.Account) (any, directory.Version) {
	if a.Grants == nil {
		a.Grants = grants{}
	}
	return accountDocument{a.ID, a.Name, a.Disabled, a.Grants, a.CreatedAt.UTC(), a.Changed.UTC(), nil}, a.Version
}

// respondGranted responds with an account whose grants were set. A site may be created
// after its people, so a grant for one that does not exist is not wrong; a typing error
// looks the same.
func (h *Handler) respondGranted(c *call, status int, a directory.Account) error {
	document, version := viewAccount(a)
	d, _ := document.(accountDocument)
	for _, site := range slices.Sorted(maps.Keys(a.Grants)) {
		if site == directory.EverySite {
			continue
		}
		exists, err := h.siteExists(c, site)
		if err != nil {
			return err
		}
		if !exists {
			d.Warnings = append(d.Warnings, "grants: there is no site "+string(site))
		}
	}
	return respond(c, status, func(directory.Account) (any, directory.Version) { return d, version }, a, nil)
}

func (c *call) account() directory.AccountID { return directory.AccountID(c.PathValue("user")) }

func (h *Handler) listAccounts(c *call) error {
	key := func(a directory.Account) string { return a.Name }
	return list(c, "users", viewAccount, key, func(p directory.Page) ([]directory.Account, error) {
		return h.config.Accounts.Accounts(c.Context(), p)
	})
}

func (h *Handler) getAccount(c *call) error {
	a, err := h.config.Accounts.Account(c.Context(), c.account())
	return respond(c, http.StatusOK, viewAccount, a, err)
}

func (h *Handler) createAccount(c *call) error {
	var request struct {
		Name     string `json:"name" required:""`
		Password string `json:"password" required:""`
		Grants   grants `json:"grants"`
	}
	err := c.body(&request, func(f *fields) {
		request.Name = accountName(f, request.Name)
		checkPassword(f, request.Password, request.Name)
		request.Grants.check(f)
	})
	if err != nil {
		return err
	}
	if err := h.noLookAlike(c, request.Name); err != nil {
		return err
	}
	phc, err := password.Hash(request.Password, password.DefaultCost(), h.config.Random)
	if err != nil {
		return err
	}
	entry := c.entry("account.create", "accounts/"+request.Name, "", map[string]any{"grants": request.Grants})
	a, err := h.config.Accounts.CreateAccount(c.Context(), directory.Account{Name: request.Name, Grants: request.Grants}, phc, entry)
	if err != nil {
		return err
	}
	return h.respondGranted(c, http.StatusCreated, a)
}

// noLookAlike rejects a name that people cannot tell from that of another account. It reads all
// names: there are few accounts, those that are older than this rule among them.
func (h *Handler) noLookAlike(c *call, name string) error {
	for page := (directory.Page{Limit: maxLimit}); ; {
		accounts, err := h.config.Accounts.Accounts(c.Context(), page)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if lookalike.Alike(a.Name, name) {
				return unprocessable("name: looks like %q, which is another account.", a.Name)
			}
		}
		if len(accounts) < page.Limit {
			return nil
		}
		page.After = accounts[len(accounts)-1].Name
	}
}

// accountName returns the canonical form of a new account's name.
func accountName(f *fields, given string) string {
	name, err := naming.Account(given)
	if err != nil {
		f.require(false, "name", naming.Reason(err))
	}
	return name
}

// checkPassword checks a new password of the account of that name.
func checkPassword(f *fields, given, name string) {
	if err := password.Check(given, name); err != nil {
		f.require(false, "password", password.Requirement(err))
	}
}

func (h *Handler) changeAccount(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	id := c.account()
	var request struct {
		Disabled bool   `json:"disabled"`
		Grants   grants `json:"grants"`
	}
	err = c.body(&request, func(f *fields) {
		request.Grants.check(f)
		f.require(string(id) != c.caller.Subject || !request.Disabled && request.Grants[directory.EverySite] == directory.Admin, "grants",
			"you cannot disable your own account or remove its role admin at *; another administrator can")
	})
	if err != nil {
		return err
	}
	a := directory.Account{ID: id, Disabled: request.Disabled, Grants: request.Grants}
	a, err = h.config.Accounts.ChangeAccount(c.Context(), a, from, c.entry("account.change", "accounts/"+string(id), "", request))
	if err := h.deny(c, err); err != nil {
		return err
	}
	return h.respondGranted(c, http.StatusOK, a)
}

// resetPassword sets the password of another account. One's own needs the old password:
// whoever has an administrator's access token for minutes must not own the account.
func (h *Handler) resetPassword(c *call) error {
	id := c.account()
	if string(id) == c.caller.Subject {
		return &rejection{Status: http.StatusForbidden, Detail: "PUT /v1/me/password changes your own password; it needs the old one."}
	}
	account, err := h.config.Accounts.Account(c.Context(), id)
	if err != nil {
		return err
	}
	var request struct {
		Password string `json:"password"`
	}
	if err := c.body(&request, func(f *fields) { checkPassword(f, request.Password, account.Name) }); err != nil {
		return err
	}
	return h.savePassword(c, id, "", request.Password)
}

func (h *Handler) savePassword(c *call, id directory.AccountID, old, given string) error {
	phc, err := password.Hash(given, password.DefaultCost(), h.config.Random)
	if err != nil {
		return err
	}
	entry := c.entry("account.password", "accounts/"+string(id), "", nil)
	return c.noContent(h.deny(c, h.config.Accounts.ChangePassword(c.Context(), id, old, phc, entry)))
}

// me returns the caller's account. Gateways and subjects of other issuers have none.
func (c *call) me() (directory.AccountID, error) {
	if !isUUID(c.caller.Subject) {
		return "", telemetry.ErrNotFound
	}
	return directory.AccountID(c.caller.Subject), nil
}

func (h *Handler) getMe(c *call) error {
	id, err := c.me()
	if err != nil {
		return err
	}
	a, err := h.config.Accounts.Account(c.Context(), id)
	return respond(c, http.StatusOK, viewAccount, a, err)
}

func (h *Handler) changeMyPassword(c *call) error {
	id, err := c.me()
	if err != nil {
		return err
	}
	account, err := h.config.Accounts.Account(c.Context(), id)
	if err != nil {
		return err
	}
	var request struct {
		Old string `json:"old_password"`
		New string `json:"password"`
	}
	err = c.body(&request, func(f *fields) {
		checkPassword(f, request.New, account.Name)
		f.require(len(request.Old) <= password.MaxBytes, "old_password", fmt.Sprintf("must be at most %d bytes", password.MaxBytes))
	})
	if err != nil {
		return err
	}
	phc, err := h.oldPassword(c, account, request.Old)
	if err != nil {
		return err
	}
	return h.savePassword(c, id, phc, request.New)
}

// passwordFailed is the entry of a wrong password of a caller with an access token.
const passwordFailed = trail.Action("password.refuse")

// oldPassword verifies the caller's present password, and returns its PHC string.
func (h *Handler) oldPassword(c *call, account directory.Account, given string) (phc string, err error) {
	attempt := credential.Attempt{
		Name: account.Name, Actor: c.caller.Subject, Action: passwordFailed, Object: "accounts/" + string(account.ID),
		Failure: trail.Occurrence{
			Action: trail.RefusedLogin, Source: lambdahttp.InfoOf(c.Context()).SourceIP,
			Route: "PUT /v1/me/password", Subject: c.caller.Subject,
		},
	}
	err = h.config.Passwords.Check(c.Context(), attempt, given, func(ctx context.Context) (stored credential.Stored, err error) {
		phc, err = h.config.Accounts.PasswordOf(ctx, account.ID)
		if account.Disabled {
			stored.Reason = "disabled"
		}
		stored.PHC, stored.Known = phc, true
		return stored, err
	})
	if rejected, ok := errors.AsType[*credential.Rejected](err); ok {
		if rejected.RetryAfter > 0 {
			return "", &rejection{
				Status: http.StatusTooManyRequests, RetryAfter: rejected.RetryAfter,
				Detail: "Too many attempts failed. Retry after the seconds of Retry-After.",
			}
		}
		return "", &rejection{Status: http.StatusForbidden, Detail: "The old password is wrong."}
	}
	return phc, err
}
