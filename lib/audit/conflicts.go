package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// conflictSites and conflictDevices bound what the check reads.
	conflictSites   = 1000
	conflictDevices = 1000
	// shownDevices bounds what the finding names.
	shownDevices = 5
	// conflictAge is how far back the check looks: it is scheduled every hour.
	conflictAge = time.Hour
)

// ConflictsCheck names the devices of all sites of which events were refused in the last
// hour since one with the same time and another value was stored: nobody else notices a
// source clock that stands still.
func ConflictsCheck(api API, administrator string) Check {
	return func(ctx context.Context) []Finding {
		const name = "conflicts: devices"
		since := api.Now().Add(-conflictAge)
		sites, err := readList[struct{ Name string }](ctx, api, fmt.Sprintf("/v1/sites?limit=%d", conflictSites), administrator)
		if err != nil {
			return []Finding{noResponse(name, err)}
		}
		var devices []string
		for _, s := range sites { // a name is encoded twice, see docs/API_CONTRACTS.md
			path := fmt.Sprintf("/v1/sites/%s/conflicts/devices?limit=%d&since=%d",
				url.PathEscape(url.PathEscape(s.Name)), conflictDevices, since.UnixMicro())
			found, err := readList[conflictingDevice](ctx, api, path, administrator)
			if err != nil {
				return []Finding{noResponse(name, err)}
			}
			for _, d := range found {
				devices = append(devices, fmt.Sprintf("%s/%s/%s (%d)", s.Name, d.Gateway, d.Device, d.Conflicts))
			}
		}
		if len(devices) == 0 {
			return []Finding{{Check: name, Result: Pass, Found: fmt.Sprintf("none in an hour, at %d sites", len(sites))}}
		}
		shown := strings.Join(devices[:min(len(devices), shownDevices)], ", ")
		if len(devices) > shownDevices {
			shown += ", …"
		}
		return []Finding{{
			name, Warn, fmt.Sprintf("%d devices sent other values for a time that is stored: %s", len(devices), shown),
			"read GET /v1/sites/{site}/conflicts: does the source's clock stand still, or do two machines send under one name?",
		}}
	}
}

type conflictingDevice struct {
	Gateway, Device string
	Conflicts       int
}

// readList reads the first page of a list.
func readList[T any](ctx context.Context, api API, path, token string) ([]T, error) {
	got, err := api.get(ctx, path, token)
	if err != nil {
		return nil, err
	}
	var page struct{ Items []T }
	if err := json.Unmarshal(got.body, &page); err != nil || got.status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %v", path, got)
	}
	return page.Items, nil
}
