// Package timescale stores events in PostgreSQL: in TimescaleDB hypertables where the
// server has the extension, in plain tables with the same columns where it has not.
//
// # Schema
//
//	gateway (id int4, name text unique, site text, site_since timestamptz)
//	device  (id int4, gateway_id int4, name text, unique (gateway_id, name))
//	metric  (id int4, gateway_id int4, name text, unique (gateway_id, name))
//	event   (time timestamptz, device_id int4, metric_id int4, value float8, quality int2)
//	        unique (device_id, metric_id, time); one-day chunks
//	conflict(device_id, metric_id, time, value, quality, seen_at)
//	event_minute(device_id, metric_id, minute, quality, count, sum, min, max, first_at, first, last_at, last)
//	        unique (device_id, metric_id, minute, quality); 30-day chunks
//	event_hour  the same by hour; 365-day chunks
//	rollup_watermark, rollup_stale: which minutes and hours agree with the events; see rollup.go
//	reading view (time, site, gateway, device, metric, value, quality)
//	device_kpi(gateway_pattern, device_pattern, priority, state_metric, …): which devices are machines
//
// Quality is 0 good, 1 uncertain, 2 bad. An event's identity is (gateway, device,
// metric, time). The value that is stored first stays; another value or quality for a
// stored identity becomes a row of conflict.
//
// # Writing
//
// A write resolves names to ids, sorts and deduplicates the rows in memory, and sends
// them in one binary COPY. Only when that violates the unique index does it fall back
// to an upsert: INSERT … ON CONFLICT DO NOTHING, and a comparison with the stored rows.
// Rows and names have one order everywhere, so that overlapping writers wait for each
// other instead of deadlocking.
//
// Every step is idempotent: a write that failed half-way, or whose response was lost,
// is repeated whole and stores each event once.
package timescale
