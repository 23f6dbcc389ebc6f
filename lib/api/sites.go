package api

import (
	"context"
	"net/http"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Sites keeps sites. A change names the version that it was made from, 0 for any;
// directory.ErrVersion when there is another by now. Each change writes its entry in
// the same transaction.
type Sites interface {
	// Sites returns those with the given names (nil: all) in the order of their names.
	Sites(ctx context.Context, names []telemetry.SiteID, page directory.Page) ([]directory.Site, error)
	Site(ctx context.Context, name telemetry.SiteID) (directory.Site, error)
	// CreateSite returns telemetry.ErrConflict when there is one of that name.
	CreateSite(ctx context.Context, s directory.Site, entry trail.Entry) (directory.Site, error)
	ChangeSite(ctx context.Context, s directory.Site, from directory.Version, entry trail.Entry) (directory.Site, error)
}

func (h *Handler) siteRoutes() []route {
	return []route{
		{pattern: "GET /v1/sites", role: directory.Viewer, serve: h.listSites},
		{pattern: "POST /v1/sites", role: directory.Admin, serve: h.createSite, create: true},
		{pattern: "GET /v1/sites/{site}", role: directory.Viewer, serve: h.getSite},
		{pattern: "PUT /v1/sites/{site}", role: directory.Admin, serve: h.changeSite},
	}
}

type siteDocument struct {
	Name      telemetry.SiteID `json:"name"`
	Title     string           `json:"title"`
	TimeZone  string           `json:"time_zone"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
}

func documentOfSite(s directory.Site) siteDocument {
	return siteDocument{s.Name, s.Title, s.TimeZone, s.CreatedAt.UTC(), s.Changed.UTC()}
}

func (h *Handler) listSites(c *call) error {
	p, err := c.page("sites")
	if err != nil {
		return err
	}
	names, all := c.caller.Sites(directory.Viewer)
	if all {
		names = nil
	}
	sites, err := h.config.Sites.Sites(c.Context(), names, p)
	if err != nil {
		return err
	}
	return answerPage(c, "sites", p, sites, documentOfSite, func(s directory.Site) string { return string(s.Name) })
}

func (h *Handler) getSite(c *call) error {
	s, err := h.config.Sites.Site(c.Context(), telemetry.SiteID(c.PathValue("site")))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, documentOfSite(s), s.Version)
}

type siteChange struct {
	Title    string `json:"title"`
	TimeZone string `json:"time_zone"`
}

func (s *siteChange) check(f *fields) {
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	f.text("title", s.Title)
	_, err := time.LoadLocation(s.TimeZone)
	f.want(err == nil && s.TimeZone != "Local", "time_zone", "want an IANA name such as Europe/Vienna")
}

func (h *Handler) createSite(c *call) error {
	if !c.caller.MayEverywhere(directory.Admin) {
		return &forbidden{role: directory.Admin}
	}
	var request struct {
		Name telemetry.SiteID `json:"name"`
		siteChange
	}
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.want(telemetry.ValidName(request.Name) == nil && request.Name != directory.EverySite, "name", "want a name of 1 to 128 bytes that is not *")
	request.check(&f)
	if err := f.err(); err != nil {
		return err
	}
	site := directory.Site{Name: request.Name, Title: request.Title, TimeZone: request.TimeZone}
	entry := c.entry("site.create", "sites/"+string(site.Name), site.Name, request)
	s, err := h.config.Sites.CreateSite(c.Context(), site, entry)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, documentOfSite(s), s.Version)
}

func (h *Handler) changeSite(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request siteChange
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	request.check(&f)
	if err := f.err(); err != nil {
		return err
	}
	name := telemetry.SiteID(c.PathValue("site"))
	site := directory.Site{Name: name, Title: request.Title, TimeZone: request.TimeZone}
	s, err := h.config.Sites.ChangeSite(c.Context(), site, from, c.entry("site.change", "sites/"+string(name), name, request))
	if err != nil {
		return changed(err)
	}
	return c.answer(http.StatusOK, documentOfSite(s), s.Version)
}
