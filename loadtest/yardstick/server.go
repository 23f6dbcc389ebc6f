package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const schema = `
CREATE EXTENSION IF NOT EXISTS timescaledb;
CREATE TABLE IF NOT EXISTS gateway (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS device (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway_id int NOT NULL, name text NOT NULL, UNIQUE (gateway_id, name));
CREATE TABLE IF NOT EXISTS metric (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway_id int NOT NULL, name text NOT NULL, UNIQUE (gateway_id, name));
CREATE TABLE IF NOT EXISTS event (
	time timestamptz NOT NULL, device_id int NOT NULL, metric_id int NOT NULL, value float8 NOT NULL, quality int2 NOT NULL);
SELECT create_hypertable('event', by_range('time', INTERVAL '1 day'), create_default_indexes => false, if_not_exists => true);
CREATE UNIQUE INDEX IF NOT EXISTS event_identity ON event (device_id, metric_id, time);`

type server struct {
	db  *pgxpool.Pool
	mu  sync.RWMutex
	ids map[name]int32
}

// name is a key of the cache of ids.
type name struct {
	table  string
	parent int32
	text   string
}

type request struct {
	Events []struct {
		Device  string    `json:"device"`
		Metric  string    `json:"metric"`
		Time    time.Time `json:"time"`
		Value   float64   `json:"value"`
		Quality string    `json:"quality"`
	} `json:"events"`
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	gateway := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if err := s.store(r.Context(), gateway, &in); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"accepted":%d,"rejected":0}`, len(in.Events))
}

func (s *server) store(ctx context.Context, gateway string, in *request) error {
	g, err := s.id(ctx, name{"gateway", 0, gateway})
	if err != nil {
		return err
	}
	n := len(in.Events)
	devices, metrics, times := make([]int32, n), make([]int32, n), make([]time.Time, n)
	values, qualities := make([]float64, n), make([]int16, n)
	for i, e := range in.Events {
		if devices[i], err = s.id(ctx, name{"device", g, e.Device}); err != nil {
			return err
		}
		if metrics[i], err = s.id(ctx, name{"metric", g, e.Metric}); err != nil {
			return err
		}
		times[i], values[i] = e.Time, e.Value
		switch e.Quality {
		case "uncertain":
			qualities[i] = 1
		case "bad":
			qualities[i] = 2
		}
	}
	_, err = s.db.Exec(ctx, `INSERT INTO event (time, device_id, metric_id, value, quality)
		SELECT * FROM unnest($1::timestamptz[], $2::int[], $3::int[], $4::float8[], $5::int2[])
		ON CONFLICT (device_id, metric_id, time) DO NOTHING`, times, devices, metrics, values, qualities)
	return err
}

// id returns the row id of a name, from the cache after the first time.
func (s *server) id(ctx context.Context, key name) (int32, error) {
	s.mu.RLock()
	id, ok := s.ids[key]
	s.mu.RUnlock()
	if ok {
		return id, nil
	}
	var err error
	if key.table == "gateway" {
		err = s.db.QueryRow(ctx, `INSERT INTO gateway (name) VALUES ($1)
			ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id`, key.text).Scan(&id)
	} else {
		err = s.db.QueryRow(ctx, `INSERT INTO `+key.table+` (gateway_id, name) VALUES ($1, $2)
			ON CONFLICT (gateway_id, name) DO UPDATE SET name = excluded.name RETURNING id`, key.parent, key.text).Scan(&id)
	}
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.ids[key] = id
	s.mu.Unlock()
	return id, nil
}
