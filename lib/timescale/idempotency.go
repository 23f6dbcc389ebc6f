package timescale

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/insighthub/insighthub/lib/directory"
	"github.com/insighthub/insighthub/lib/telemetry"
)

const (
	// responseRetention is for how long the response to a request is stored.
	responseRetention = 24 * time.Hour
	// abandonedAfter is the age from which a request that never ended frees its key.
	abandonedAfter = time.Minute
)

// BeginRequest stores an Idempotency-Key, or returns the stored response of the same
// request; see lib/api. telemetry.ErrConflict: the key belongs to another request, or
// to one that has not ended.
func (p *Pool) BeginRequest(
	ctx context.Context, subject, key string, request [32]byte, now time.Time,
) (stored *directory.StoredResponse, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		stored = nil
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `DELETE FROM idempotency
				WHERE created_at < $1 AND ctid IN (SELECT ctid FROM idempotency WHERE created_at < $1 LIMIT 100)`,
				now.Add(-responseRetention)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE subject = $1 AND key = $2 AND status IS NULL AND created_at < $3`,
				subject, key, now.Add(-abandonedAfter)); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, `INSERT INTO idempotency (subject, key, request, created_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT DO NOTHING`,
				subject, key, request[:], now)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 1 {
				return room(ctx, tx, "idempotency keys of "+subject, "A caller has at most %d Idempotency-Keys in 24 hours.",
					directory.MaxIdempotencyKeys, "FROM idempotency WHERE subject = $1 AND key <> $2", subject, key)
			}
			stored, err = storedResponse(ctx, tx, subject, key, request)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("idempotency key: %w", err)
	}
	return stored, nil
}

func storedResponse(ctx context.Context, tx pgx.Tx, subject, key string, request [32]byte) (*directory.StoredResponse, error) {
	var storedRequest, body []byte
	var status *int
	var header *string
	err := tx.QueryRow(ctx, `SELECT request, status, header::text, body FROM idempotency WHERE subject = $1 AND key = $2`, subject, key).
		Scan(&storedRequest, &status, &header, &body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, telemetry.ErrConflict
	}
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(storedRequest, request[:]) || status == nil || header == nil {
		return nil, telemetry.ErrConflict
	}
	response := &directory.StoredResponse{Status: *status, Body: body}
	return response, json.Unmarshal([]byte(*header), &response.Header)
}

// EndRequest stores the response to a request; nil frees the key.
func (p *Pool) EndRequest(ctx context.Context, subject, key string, response *directory.StoredResponse) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if response == nil {
			_, err := conn.Exec(ctx, "DELETE FROM idempotency WHERE subject = $1 AND key = $2", subject, key)
			return err
		}
		header, err := json.Marshal(response.Header)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "UPDATE idempotency SET status = $3, header = $4, body = $5 WHERE subject = $1 AND key = $2",
			subject, key, response.Status, string(header), response.Body)
		return err
	})
	if err != nil {
		return fmt.Errorf("store a response under its idempotency key: %w", err)
	}
	return nil
}
