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
	// keptFor is how long an answer is given again.
	keptFor = 24 * time.Hour
	// abandonedAfter is when a request that never ended no longer holds its key.
	abandonedAfter = time.Minute
)

// BeginRequest keeps an Idempotency-Key; see lib/api.
func (p *Pool) BeginRequest(ctx context.Context, subject, key string, request [32]byte, now time.Time) (kept *directory.StoredResponse, err error) {
	err = p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		kept = nil
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE created_at < $1 AND ctid IN (SELECT ctid FROM idempotency WHERE created_at < $1 LIMIT 100)`, now.Add(-keptFor))
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `DELETE FROM idempotency WHERE subject = $1 AND key = $2 AND status IS NULL AND created_at < $3`,
				subject, key, now.Add(-abandonedAfter)); err != nil {
				return err
			}
			tag, err := tx.Exec(ctx, `INSERT INTO idempotency (subject, key, request, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
				subject, key, request[:], now)
			if err != nil || tag.RowsAffected() == 1 {
				return err
			}
			kept, err = keptAnswer(ctx, tx, subject, key, request)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("idempotency key: %w", err)
	}
	return kept, nil
}

func keptAnswer(ctx context.Context, tx pgx.Tx, subject, key string, request [32]byte) (*directory.StoredResponse, error) {
	var have, body []byte
	var status *int
	var header *string
	err := tx.QueryRow(ctx, `SELECT request, status, header::text, body FROM idempotency WHERE subject = $1 AND key = $2`, subject, key).
		Scan(&have, &status, &header, &body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, telemetry.ErrConflict
	}
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(have, request[:]) || status == nil || header == nil {
		return nil, telemetry.ErrConflict
	}
	answer := &directory.StoredResponse{Status: *status, Body: body}
	return answer, json.Unmarshal([]byte(*header), &answer.Header)
}

// EndRequest keeps the answer to a request; nil gives the key free again.
func (p *Pool) EndRequest(ctx context.Context, subject, key string, answer *directory.StoredResponse) error {
	err := p.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if answer == nil {
			_, err := conn.Exec(ctx, "DELETE FROM idempotency WHERE subject = $1 AND key = $2", subject, key)
			return err
		}
		header, err := json.Marshal(answer.Header)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "UPDATE idempotency SET status = $3, header = $4, body = $5 WHERE subject = $1 AND key = $2",
			subject, key, answer.Status, string(header), answer.Body)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep an answer: %w", err)
	}
	return nil
}
