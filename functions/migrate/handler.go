package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/insighthub/insighthub/lib/telemetry"
	"github.com/insighthub/insighthub/lib/timescale"
)

// physicalID never changes: a new one would make CloudFormation delete the old
// resource, and there is one schema however often it is migrated.
const physicalID = "insighthub-schema"

// handler handles custom resource events of the CDK's provider framework and plain
// invocations; it migrates for all of them but a Delete.
type handler struct {
	migrate func(context.Context) (timescale.Migrated, error)
	log     *slog.Logger
}

// request has the fields of a custom resource event that are used. An empty RequestType is
// a plain invocation.
type request struct {
	RequestType        string
	PhysicalResourceId string //nolint:revive // CloudFormation's spelling
}

type response struct {
	PhysicalResourceId string //nolint:revive // CloudFormation's spelling
	Data               map[string]string
}

// Invoke implements lambda.Handler. An error makes the deployment fail and roll
// back; migrations that were applied are not undone.
func (h *handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var r request
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("event: %w: %w", telemetry.ErrInvalid, err)
	}
	switch r.RequestType {
	case "", "Create", "Update":
	case "Delete":
		// The data outlives the stack.
		return json.Marshal(response{PhysicalResourceId: r.PhysicalResourceId})
	default:
		return nil, fmt.Errorf("event: %w: RequestType %q", telemetry.ErrInvalid, r.RequestType)
	}
	done, err := h.migrate(ctx)
	if err != nil {
		return nil, err
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "migrated", slog.Int("version", done.Version), slog.Int("applied", done.Applied),
		slog.String("flavour", string(done.Flavour)), slog.String("licence", string(done.Licence)))
	return json.Marshal(response{PhysicalResourceId: physicalID, Data: map[string]string{
		"Version": strconv.Itoa(done.Version), "Flavour": string(done.Flavour), "Licence": string(done.Licence),
	}})
}
