package api

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/exportfile"
	lambdahttp "github.com/insighthub/insighthub/lib/lambda/http"
	"github.com/insighthub/insighthub/lib/readings"
	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/trail"
)

// Exports reads whole selections.
type Exports interface {
	// ExportRows returns how many readings there are at least.
	ExportRows(ctx context.Context, s readings.Selection) (int64, error)
	// Export hands the readings over in blocks and ends with the first error of take.
	// telemetry.ErrNotFound: the site has no such gateway.
	Export(ctx context.Context, s readings.Selection, take func(*readings.Block) error) error
	// AppendTrail adds an entry to the audit trail.
	AppendTrail(ctx context.Context, entry trail.Entry) error
}

// Files keeps exported files for some time.
type Files interface {
	// Create begins a file, which is there once it is complete.
	Create(ctx context.Context, key, contentType string) (File, error)
	// Address returns a URL under which the file can be read for ttl, without a token.
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
	// exportAddress is how long a file can be fetched.
	exportAddress = 15 * time.Minute
	exportKeySize = 20 // bytes of randomness
)

func (h *Handler) exportRoutes() []route {
	return []route{{pattern: "POST /v1/sites/{site}/exports", role: directory.Viewer, serve: h.createExport, create: true, long: true}}
}

type exportRequest struct {
	Gateway telemetry.GatewayID  `json:"gateway"`
	Device  telemetry.DeviceName `json:"device,omitempty"`
	Metric  telemetry.MetricName `json:"metric,omitempty"`
	// From and To are RFC 3339, or microseconds since 1970 as a number.
	From   instant           `json:"from"`
	To     instant           `json:"to"`
	Format exportfile.Format `json:"format"`
}

// instant is a time in a body.
type instant telemetry.Micros

var errInstant = errors.New("no time")

// UnmarshalJSON implements json.Unmarshaler.
func (i *instant) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1]
	}
	at, ok := parseTime(text)
	if !ok {
		return errInstant
	}
	*i = instant(at)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (i instant) MarshalJSON() ([]byte, error) {
	return []byte(`"` + telemetry.Micros(i).Time().UTC().Format(time.RFC3339Nano) + `"`), nil
}

type exportDocument struct {
	URL       string            `json:"url"`
	ExpiresAt time.Time         `json:"expires_at"`
	Rows      int64             `json:"rows"`
	Bytes     int64             `json:"bytes"`
	Format    exportfile.Format `json:"format"`
}

var errTooManyRows = errors.New("more rows than an export may have")

func tooManyRows() error {
	return &wrong{status: http.StatusUnprocessableEntity, text: fmt.Sprintf("more than %d readings: ask for less, by device, metric or a shorter range", maxExportRows)}
}

func (h *Handler) createExport(c *call) error {
	if c.URL.RawQuery != "" {
		if _, err := c.query(); err != nil {
			return err
		}
	}
	var request exportRequest
	if err := c.body(&request); err != nil {
		return err
	}
	var f fields
	f.want(telemetry.ValidName(request.Gateway) == nil, "gateway", "want a name of 1 to 128 bytes")
	f.want(request.Device == "" || telemetry.ValidName(request.Device) == nil, "device", "want a name of 1 to 128 bytes, or none")
	f.want(request.Metric == "" || telemetry.ValidName(request.Metric) == nil, "metric", "want a name of 1 to 128 bytes, or none")
	f.want(request.From < request.To, "from", "want a time before to")
	f.want(request.Format == exportfile.CSV || request.Format == exportfile.NDJSON || request.Format == exportfile.Parquet, "format", "want csv, ndjson or parquet")
	if err := f.err(); err != nil {
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
	document, err := h.export(c.Context(), selection, key, request.Format)
	if errors.Is(err, errTooManyRows) {
		return tooManyRows()
	}
	if err != nil {
		return err
	}
	// The address is not given out before the trail tells of it.
	entry := c.entry("export.create", gatewayPath(selection.Site, selection.Gateway), selection.Site, struct {
		exportRequest
		Rows int64  `json:"rows"`
		Key  string `json:"key"`
	}{request, document.Rows, key})
	if err := h.config.Exports.AppendTrail(c.Context(), entry); err != nil {
		return err
	}
	document.ExpiresAt = c.now.Add(exportAddress).UTC().Truncate(time.Second)
	name := "readings-" + c.now.UTC().Format("20060102-150405") + "." + string(request.Format)
	if document.URL, err = h.config.Files.Address(c.Context(), key, name, exportAddress); err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return lambdahttp.WriteJSON(c.w, http.StatusCreated, document)
}

// export writes the file.
func (h *Handler) export(ctx context.Context, s readings.Selection, key string, format exportfile.Format) (document exportDocument, err error) {
	file, err := h.config.Files.Create(ctx, key, format.ContentType())
	if err != nil {
		return document, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Abort())
		}
	}()
	writer, err := exportfile.New(file, format)
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
	document.Bytes, document.Format = file.Bytes(), format
	return document, nil
}

// exportKey is a key that can not be guessed, under the site's own part of the bucket.
func (h *Handler) exportKey(site telemetry.SiteID, format exportfile.Format) (string, error) {
	raw := make([]byte, exportKeySize)
	if _, err := io.ReadFull(h.config.Random, raw); err != nil {
		return "", fmt.Errorf("export key: %w", err)
	}
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	// A site's name may hold anything: what is no letter, digit or hyphen is encoded.
	odd := strings.ContainsFunc(string(site), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
	folder := string(site)
	if odd {
		folder = "_" + encoding.EncodeToString([]byte(site))
	}
	return "exports/" + folder + "/" + strings.ToLower(encoding.EncodeToString(raw)) + "." + string(format), nil
}
