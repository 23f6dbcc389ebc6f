package api

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/exportfile"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Exports reads all readings of a selection.
type Exports interface {
	// ExportRows returns a lower bound of the number of readings.
	ExportRows(ctx context.Context, s readings.Selection) (int64, error)
	// Export calls write with the readings in blocks, and ends with its first error.
	// telemetry.ErrNotFound when the site has no such gateway.
	Export(ctx context.Context, s readings.Selection, write func(*readings.Block) error) error
	// AppendTrail adds an entry to the audit trail.
	AppendTrail(ctx context.Context, entry trail.Entry) error
}

// Files stores exported files for some time.
type Files interface {
	// Create starts a file, which exists once it is completed.
	Create(ctx context.Context, key, contentType string) (File, error)
	// Address returns a URL from which the file can be read for ttl, without a token.
	Address(ctx context.Context, key, fileName string, ttl time.Duration) (string, error)
}

// File is written in bounded memory. It ends with Complete or Abort.
type File interface {
	io.Writer
	Bytes() int64
	Complete() error
	Abort() error
}

const (
	maxExportRows = 5_000_000
	// exportLifetime is how long a file can be downloaded.
	exportLifetime = 15 * time.Minute
	exportKeySize  = 20 // bytes of randomness
)

func (h *Handler) exportRoutes() []route {
	return []route{
		{
			pattern: "POST /v1/sites/{site}/exports", role: directory.Viewer, serve: h.createExport,
			create: true, long: true, replay: h.replayExport,
		},
	}
}

type exportRequest struct {
	Gateway telemetry.GatewayID  `json:"gateway" required:""`
	Device  telemetry.DeviceName `json:"device,omitempty"`
	Metric  telemetry.MetricName `json:"metric,omitempty"`
	// From and To are RFC 3339, or microseconds since 1970 as a number.
	From   fromTime          `json:"from" required:""`
	To     toTime            `json:"to" required:""`
	Format exportfile.Format `json:"format" required:""`
	// Dialect is of CSV only; empty is Plain.
	Dialect exportfile.Dialect `json:"dialect,omitempty"`
}

func (r *exportRequest) check(f *fields) {
	requireName(f, "gateway", r.Gateway)
	f.require(r.Device == "" || telemetry.ValidName(r.Device) == nil, "device", "must be "+aName+", or empty")
	f.require(r.Metric == "" || telemetry.ValidName(r.Metric) == nil, "metric", "must be "+aName+", or empty")
	f.require(telemetry.Micros(r.From) < telemetry.Micros(r.To), "from", "must be before to")
	f.require(slices.Contains([]exportfile.Format{exportfile.CSV, exportfile.NDJSON, exportfile.Parquet}, r.Format),
		"format", "must be csv, ndjson or parquet")
	f.require(r.Dialect == "" || slices.Contains(exportfile.Dialects(), r.Dialect), "dialect", "must be plain, excel or excel-point")
	f.require(r.Dialect == "" || r.Format == exportfile.CSV, "dialect", "must be left out: only the format csv has dialects")
}

// writer starts the file.
func (r *exportRequest) writer(to io.Writer) (exportfile.Writer, error) {
	if r.Format == exportfile.CSV {
		return exportfile.NewCSV(to, cmp.Or(r.Dialect, exportfile.Plain))
	}
	return exportfile.New(to, r.Format)
}

// fromTime and toTime are the times of a request body; an error names their member.
type (
	fromTime telemetry.Micros
	toTime   telemetry.Micros
)

// UnmarshalJSON implements json.Unmarshaler.
func (t *fromTime) UnmarshalJSON(raw []byte) error {
	return readTime((*telemetry.Micros)(t), "from", raw)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *toTime) UnmarshalJSON(raw []byte) error {
	return readTime((*telemetry.Micros)(t), "to", raw)
}

// MarshalJSON implements json.Marshaler.
func (t fromTime) MarshalJSON() ([]byte, error) { return writtenTime(telemetry.Micros(t)), nil }

// MarshalJSON implements json.Marshaler.
func (t toTime) MarshalJSON() ([]byte, error) { return writtenTime(telemetry.Micros(t)), nil }

// readTime reads a time with or without quotes.
func readTime(into *telemetry.Micros, member string, raw []byte) error {
	text := string(raw)
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	at, problem := parseTime(text)
	if problem != "" {
		return lambdahttp.MemberError(fmt.Sprintf("member %q %s", member, problem))
	}
	*into = at
	return nil
}

func writtenTime(t telemetry.Micros) []byte {
	return []byte(`"` + t.Time().UTC().Format(time.RFC3339Nano) + `"`)
}

type exportDocument struct {
	URL       string            `json:"url"`
	ExpiresAt time.Time         `json:"expires_at"`
	Rows      int64             `json:"rows"`
	Bytes     int64             `json:"bytes"`
	Format    exportfile.Format `json:"format"`
}

var errTooManyRows = errors.New("too many rows for an export")

func tooManyRows() error {
	return unprocessable("The selection has more than %d readings. Select a device, a metric or a shorter range.", maxExportRows)
}

func (h *Handler) createExport(c *call) error {
	var request exportRequest
	if err := c.body(&request, request.check); err != nil {
		return err
	}
	selection := readings.Selection{
		Site: c.site(), Gateway: request.Gateway, Device: request.Device, Metric: request.Metric,
		Range: readings.Range{From: telemetry.Micros(request.From), To: telemetry.Micros(request.To)},
	}
	rows, err := h.config.Exports.ExportRows(c.Context(), selection)
	if err != nil {
		return err
	}
	if rows > maxExportRows {
		return tooManyRows()
	}
	key, err := h.exportKey(selection.Site, request.Format)
	if err != nil {
		return err
	}
	document, err := h.export(c.Context(), selection, key, &request)
	if errors.Is(err, errTooManyRows) {
		return tooManyRows()
	}
	if err != nil {
		return err
	}
	// No address leaves the platform before the audit trail has its entry.
	entry := c.entry("export.create", gatewayPath(selection.Site, selection.Gateway), selection.Site, struct {
		exportRequest
		Rows int64  `json:"rows"`
		Key  string `json:"key"`
	}{request, document.Rows, key})
	if err := h.config.Exports.AppendTrail(c.Context(), entry); err != nil {
		return err
	}
	name := "readings-" + c.now.UTC().Format("20060102-150405") + "." + string(request.Format)
	c.selected = request.selected(document.Rows)
	ticket := exportTicket{key, name, document}
	c.storeTicket(ticket)
	return h.respondExport(c, ticket)
}

// exportTicket is what an Idempotency-Key stores of an export: a file, for which each
// response has an address of its own.
type exportTicket struct {
	Key  string         `json:"key"`
	Name string         `json:"name"`
	File exportDocument `json:"file"`
}

// respondExport responds with an address of the file.
func (h *Handler) respondExport(c *call, t exportTicket) (err error) {
	t.File.ExpiresAt = c.now.Add(exportLifetime).UTC().Truncate(time.Second)
	if t.File.URL, err = h.config.Files.Address(c.Context(), t.Key, t.Name, exportLifetime); err != nil {
		return err
	}
	return c.respondUncached(http.StatusCreated, t.File)
}

// replayExport responds to a repeated request with a new address: the first one has
// expired long before the Idempotency-Key. The bucket stores the file for longer than that.
func (h *Handler) replayExport(c *call, stored *directory.StoredResponse) error {
	var t exportTicket
	if err := json.Unmarshal(stored.Body, &t); err != nil {
		return fmt.Errorf("stored export: %w", err)
	}
	entry := c.entry("export.address", "sites/"+string(c.site()), c.site(), map[string]string{"key": t.Key})
	if err := h.config.Exports.AppendTrail(c.Context(), entry); err != nil {
		return err
	}
	return h.respondExport(c, t)
}

// selected returns what an export selects, and how many rows it got.
func (r *exportRequest) selected(rows int64) url.Values {
	return url.Values{
		"gateway": {string(r.Gateway)}, "device": {string(r.Device)}, "metric": {string(r.Metric)},
		"from": {telemetry.Micros(r.From).Time().UTC().Format(time.RFC3339Nano)},
		"to":   {telemetry.Micros(r.To).Time().UTC().Format(time.RFC3339Nano)}, "rows": {strconv.FormatInt(rows, 10)},
	}
}

// export writes the file.
func (h *Handler) export(
	ctx context.Context, s readings.Selection, key string, request *exportRequest,
) (document exportDocument, err error) {
	file, err := h.config.Files.Create(ctx, key, request.Format.ContentType())
	if err != nil {
		return document, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Abort())
		}
	}()
	writer, err := request.writer(file)
	if err != nil {
		return document, err
	}
	err = h.config.Exports.Export(ctx, s, func(b *readings.Block) error {
		if document.Rows += int64(len(b.Times)); document.Rows > maxExportRows {
			return errTooManyRows
		}
		return writer.Write(b)
	})
	if err != nil {
		return document, err
	}
	if err := writer.Close(); err != nil {
		return document, err
	}
	if err := file.Complete(); err != nil {
		return document, err
	}
	document.Bytes, document.Format = file.Bytes(), request.Format
	return document, nil
}

// exportKey returns a key that cannot be guessed, under the site's own prefix of the bucket.
func (h *Handler) exportKey(site telemetry.SiteID, format exportfile.Format) (string, error) {
	raw := make([]byte, exportKeySize)
	if _, err := io.ReadFull(h.config.Random, raw); err != nil {
		return "", fmt.Errorf("export key: %w", err)
	}
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	// A site's name may hold any character: one with other than letters, digits and hyphens
	// is encoded.
	needsEncoding := strings.ContainsFunc(string(site), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
	folder := string(site)
	if needsEncoding {
		folder = "_" + encoding.EncodeToString([]byte(site))
	}
	return "exports/" + folder + "/" + strings.ToLower(encoding.EncodeToString(raw)) + "." + string(format), nil
}
