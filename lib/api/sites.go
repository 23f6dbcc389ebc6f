package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Sites stores sites. A change names the version that it was made from, 0 for any; the
// error is directory.ErrVersion when the present version is another. Each change writes
// its entry of the audit trail in the same transaction.
type Sites interface {
	// Sites returns the sites with the given names (nil: all) in the order of their names.
	Sites(ctx context.Context, names []telemetry.SiteID, page directory.Page) ([]directory.Site, error)
	Site(ctx context.Context, name telemetry.SiteID) (directory.Site, error)
	// SiteExists reports whether there is a site of that name, or a gateway of one.
	SiteExists(ctx context.Context, name telemetry.SiteID) (bool, error)
	// CreateSite returns telemetry.ErrConflict when the name is taken.
	CreateSite(ctx context.Context, s directory.Site, entry trail.Entry) (directory.Site, error)
	ChangeSite(ctx context.Context, s directory.Site, from directory.Version, entry trail.Entry) (directory.Site, error)
}

func (h *Handler) siteRoutes() []route {
	return []route{
		{pattern: "GET /v1/sites", role: directory.Viewer, serve: h.listSites, parameters: pages()},
		{pattern: "POST /v1/sites", role: directory.Admin, platform: true, serve: h.createSite, create: true},
		{pattern: "GET /v1/sites/{site}", role: directory.Viewer, serve: h.getSite},
		{pattern: "PUT /v1/sites/{site}", role: directory.Admin, serve: h.changeSite},
	}
}

func (c *call) site() telemetry.SiteID { return telemetry.SiteID(c.PathValue("site")) }

type siteDocument struct {
	Name      telemetry.SiteID `json:"name"`
	Title     string           `json:"title"`
	TimeZone  string           `json:"time_zone"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
}

func viewSite(s directory.Site) (any, directory.Version) {
	return siteDocument{s.Name, s.Title, s.TimeZone, s.CreatedAt.UTC(), s.Changed.UTC()}, s.Version
}

func (h *Handler) listSites(c *call) error {
	key := func(s directory.Site) string { return string(s.Name) }
	return list(c, "sites", viewSite, key, func(p directory.Page) ([]directory.Site, error) {
		names, all := c.caller.Sites(directory.Viewer)
		if all {
			names = nil
		}
		return h.config.Sites.Sites(c.Context(), names, p)
	})
}

func (h *Handler) getSite(c *call) error {
	s, err := h.config.Sites.Site(c.Context(), c.site())
	return respond(c, http.StatusOK, viewSite, s, err)
}

type siteChange struct {
	Title    string `json:"title"`
	TimeZone string `json:"time_zone"`
}

func (s *siteChange) check(f *fields) {
	s.TimeZone = cmp.Or(s.TimeZone, "UTC")
	f.text("title", s.Title)
	_, err := time.LoadLocation(s.TimeZone)
	f.require(err == nil && s.TimeZone != "Local", "time_zone", "must be an IANA name such as Europe/Vienna")
}

func (h *Handler) createSite(c *call) error {
	var request struct {
		Name telemetry.SiteID `json:"name" required:""`
		siteChange
	}
	err := c.body(&request, func(f *fields) {
		newName(f, request.Name)
		f.require(request.Name != directory.EverySite, "name", "must not be *")
		request.check(f)
	})
	if err != nil {
		return err
	}
	site := directory.Site{Name: request.Name, Title: request.Title, TimeZone: request.TimeZone}
	entry := c.entry("site.create", "sites/"+string(site.Name), site.Name, request)
	s, err := h.config.Sites.CreateSite(c.Context(), site, entry)
	return respond(c, http.StatusCreated, viewSite, s, err)
}

func (h *Handler) changeSite(c *call) error {
	from, err := c.version()
	if err != nil {
		return err
	}
	var request siteChange
	if err := c.body(&request, request.check); err != nil {
		return err
	}
	site := directory.Site{Name: c.site(), Title: request.Title, TimeZone: request.TimeZone}
	s, err := h.config.Sites.ChangeSite(c.Context(), site, from, c.entry("site.change", "sites/"+string(site.Name), site.Name, request))
	return respond(c, http.StatusOK, viewSite, s, err)
}
