// Package namelist passes the names of crowded gateways from the database to ingest.
//
// A gateway may have so many devices and metrics, and ingest is to reject new names beyond
// that in its response. It does so without the database, which is not in its network and
// may be unavailable: whoever changes a crowded gateway's names writes them to an object
// of a bucket, and ingest reads it when it meets a name that it has not seen. A gateway
// that was never crowded has no object. See docs/adr/0029-name-lists.md.
package namelist

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

// Prefix is the start of the objects' keys.
const Prefix = "names/"

const (
	// Lifetime is after how long a list no longer counts: then the store decides, and writes
	// the list again if it rejects a name. So a list that was not written after a change
	// does no harm for long.
	Lifetime = time.Hour
	// RefreshEvery is how often all lists are to be written.
	RefreshEvery = 10 * time.Minute
)

// Source has the gateways' names.
type Source interface {
	CrowdedNames(ctx context.Context, gateway telemetry.GatewayID) (directory.CrowdedNames, error)
	CrowdedGateways(ctx context.Context) ([]telemetry.GatewayID, error)
}

// Writer replaces objects.
type Writer interface {
	Put(ctx context.Context, key string, body []byte, contentType string) error
}

// Reader reads objects. The error wraps telemetry.ErrNotFound if there is none of the key.
type Reader interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// list is an object.
type list struct {
	Gateway telemetry.GatewayID `json:"gateway"`
	Written time.Time           `json:"written"`
	directory.CrowdedNames
}

// keyOf returns the key of a gateway's list; a name may have any character.
func keyOf(gateway telemetry.GatewayID) string {
	return Prefix + base64.RawURLEncoding.EncodeToString([]byte(gateway)) + ".json"
}

// Publisher writes lists.
type Publisher struct {
	Source  Source
	Objects Writer
	Now     func() time.Time
}

// Publish writes the list of a gateway as it is now. Without nearly all the names that it
// may have, the list is empty.
func (p Publisher) Publish(ctx context.Context, gateway telemetry.GatewayID) error {
	names, err := p.Source.CrowdedNames(ctx, gateway)
	if err != nil {
		return err
	}
	body, err := json.Marshal(list{gateway, p.Now().UTC(), names})
	if err != nil {
		return fmt.Errorf("names of gateway %q: %w", gateway, err)
	}
	return p.Objects.Put(ctx, keyOf(gateway), body, "application/json")
}

// Refresh writes the lists of all crowded gateways, and returns their number.
func (p Publisher) Refresh(ctx context.Context) (int, error) {
	gateways, err := p.Source.CrowdedGateways(ctx)
	if err != nil {
		return 0, err
	}
	for _, gateway := range gateways {
		if err := p.Publish(ctx, gateway); err != nil {
			return 0, err
		}
	}
	return len(gateways), nil
}

// Lists reads lists.
type Lists struct {
	Objects Reader
	Now     func() time.Time
}

// Crowded returns the names of a gateway that has nearly all that it may have, by its list.
func (l Lists) Crowded(ctx context.Context, gateway telemetry.GatewayID) (directory.CrowdedNames, error) {
	body, err := l.Objects.Get(ctx, keyOf(gateway))
	if errors.Is(err, telemetry.ErrNotFound) {
		return directory.CrowdedNames{}, nil
	}
	if err != nil {
		return directory.CrowdedNames{}, err
	}
	var read list
	if err := json.Unmarshal(body, &read); err != nil {
		return directory.CrowdedNames{}, fmt.Errorf("names of gateway %q: %w", gateway, err)
	}
	if read.Gateway != gateway || l.Now().Sub(read.Written) > Lifetime {
		return directory.CrowdedNames{}, nil
	}
	return read.CrowdedNames, nil
}
