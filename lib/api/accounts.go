package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/password"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Accounts keeps people's accounts. A change that takes something away ends the
// account's sessions in the same transaction.
type Accounts interface {
	Accounts(ctx context.Context, page directory.Page) ([]directory.Account, error)
	Account(ctx context.Context, id directory.AccountID) (directory.Account, error)
	// CreateAccount makes an account with a password's PHC string;
	// telemetry.ErrConflict when the name is taken.
	CreateAccount(ctx context.Context, a directory.Account, phc string, entry trail.Entry) (directory.Account, error)
	// ChangeAccount sets Disabled and Grants.
	ChangeAccount(ctx context.Context, a directory.Account, from directory.Version, entry trail.Entry) (directory.Account, error)
	// ChangePassword sets the password if its PHC string still is old, or in any case
	// when old is empty, and ends all sessions. telemetry.ErrConflict when it is not.
	ChangePassword(ctx context.Context, id directory.AccountID, old, phc string, entry trail.Entry) error
	// PasswordOf returns the PHC string.
	PasswordOf(ctx context.Context, id directory.AccountID) (string, error)
}

func (h *Handler) accountRoutes() []route {
	return []route{
		{pattern: "GET /v1/users", role: directory.Admin, serve: h.platformOnly(h.listAccounts)},
		{pattern: "POST /v1/users", role: directory.Admin, serve: h.platformOnly(h.createAccount), create: true},
		{pattern: "GET /v1/users/{user}", role: directory.Admin, serve: h.platformOnly(h.getAccount)},
		{pattern: "PUT /v1/users/{user}", role: directory.Admin, serve: h.platformOnly(h.changeAccount)},
		{pattern: "PUT /v1/users/{user}/password", role: directory.Admin, serve: h.platformOnly(h.resetPassword)},
		{pattern: "GET /v1/me", role: directory.Viewer, serve: h.getMe},
		{pattern: "PUT /v1/me/password", role: directory.Viewer, serve: h.changeMyPassword},
	}
}

// platformOnly is for those who are administrators of every site.
func (h *Handler) platformOnly(serve endpoint) endpoint {
	return func(c *call) error {
		if !c.caller.MayEverywhere(directory.Admin) {
			return &forbidden{role: directory.Admin}
		}
		return serve(c)
	}
}

type accountDocument struct {
	ID        directory.AccountID                 `json:"id"`
	Name      string                              `json:"name"`
	Disabled  bool                                `json:"disabled"`
	Grants    map[telemetry.SiteID]directory.Role `json:"grants"`
	CreatedAt time.Time                           `json:"created_at"`
	UpdatedAt time.Time                           `json:"updated_at"`
}

func documentOfAccount(a directory.Account) accountDocument {
	if a.Grants == nil {
		a.Grants = map[telemetry.SiteID]directory.Role{}
	}
	return accountDocument{a.ID, a.Name, a.Disabled, a.Grants, a.CreatedAt.UTC(), a.Changed.UTC()}
}

func (c *call) account() (directory.AccountID, error) {
	id := c.PathValue("user")
	if !isUUID(id) {
		return "", telemetry.ErrNotFound
	}
	return directory.AccountID(id), nil
}

// isUUID holds for a UUID in lower case (RFC 9562, 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

func (h *Handler) listAccounts(c *call) error {
	p, err := c.page("users")
	if err != nil {
		return err
	}
	accounts, err := h.config.Accounts.Accounts(c.Context(), p)
	if err != nil {
		return err
	}
	return answerPage(c, "users", p, accounts, documentOfAccount, func(a directory.Account) string { return a.Name })
}

func (h *Handler) getAccount(c *call) error {
	id, err := c.account()
	if err != nil {
		return err
	}
	a, err := h.config.Accounts.Account(c.Context(), id)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfAccount(a), a.Version)
}

func checkGrants(f *fields, grants map[telemetry.SiteID]directory.Role) {
	f.want(len(grants) <= directory.MaxGrants, "grants", "want at most 100")
	for site, role := range grants {
		f.want(telemetry.ValidName(site) == nil, "grants", "want names of sites, or *")
		f.want(role == directory.Viewer || role == directory.Operator || role == directory.Admin, "grants", "want viewer, operator or admin")
	}
}

const maxAccountName = 128

func (h *Handler) createAccount(c *call) error {
	var request struct {
		Name     string                              `json:"name"`
		Password string                              `json:"password"`
		Grants   map[telemetry.SiteID]directory.Role `json:"grants"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	name := strings.ToLower(strings.TrimSpace(request.Name))
	var f fields
	f.text("name", name)
	f.want(name != "" && len(name) <= maxAccountName, "name", "want 1 to 128 bytes")
	checkPassword(&f, request.Password)
	checkGrants(&f, request.Grants)
	if err := f.err(); err != nil {
		return err
	}
	phc, err := password.Hash(request.Password, password.DefaultCost(), h.config.Random)
	if err != nil {
		return err
	}
	entry := c.entry("account.create", "accounts/"+name, "", map[string]any{"grants": request.Grants})
	a, err := h.config.Accounts.CreateAccount(c.Context(), directory.Account{Name: name, Grants: request.Grants}, phc, entry)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, documentOfAccount(a), a.Version)
}

func checkPassword(f *fields, given string) {
	err := password.Check(given)
	f.want(err == nil, "password", "want 15 characters at least and 256 bytes at most")
}

func (h *Handler) changeAccount(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	id, err := c.account()
	if err != nil {
		return err
	}
	var request struct {
		Disabled bool                                `json:"disabled"`
		Grants   map[telemetry.SiteID]directory.Role `json:"grants"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	checkGrants(&f, request.Grants)
	if string(id) == c.caller.Subject {
		f.want(!request.Disabled && request.Grants[directory.EverySite] == directory.Admin, "grants",
			"nobody takes the platform from themselves: let another administrator do it")
	}
	if err := f.err(); err != nil {
		return err
	}
	entry := c.entry("account.change", "accounts/"+string(id), "", request)
	a, err := h.config.Accounts.ChangeAccount(c.Context(), directory.Account{ID: id, Disabled: request.Disabled, Grants: request.Grants}, from, entry)
	if err != nil {
		return changed(err)
	}
	return c.answer(http.StatusOK, documentOfAccount(a), a.Version)
}

func (h *Handler) resetPassword(c *call) error {
	id, err := c.account()
	if err != nil {
		return err
	}
	var request struct {
		Password string `json:"password"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	checkPassword(&f, request.Password)
	if err := f.err(); err != nil {
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
	if err := h.config.Accounts.ChangePassword(c.Context(), id, old, phc, entry); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// me is the account behind the token; a gateway and a stranger's subject have none.
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
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfAccount(a), a.Version)
}

func (h *Handler) changeMyPassword(c *call) error {
	id, err := c.me()
	if err != nil {
		return err
	}
	var request struct {
		Old string `json:"old_password"`
		New string `json:"password"`
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	checkPassword(&f, request.New)
	f.want(len(request.Old) <= password.MaxBytes, "old_password", "want at most 256 bytes")
	if err := f.err(); err != nil {
		return err
	}
	phc, err := h.config.Accounts.PasswordOf(c.Context(), id)
	if err != nil {
		return err
	}
	right, err := password.Verify(phc, request.Old)
	if err != nil {
		return err
	}
	if !right {
		return &wrong{status: http.StatusForbidden, text: "old_password is wrong"}
	}
	return h.savePassword(c, id, phc, request.New)
}
