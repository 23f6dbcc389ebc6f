// Package timescale keeps events in PostgreSQL, as a TimescaleDB hypertable
// where the extension is there and as a plain table of the same shape where it
// is not.
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
//	rollup_watermark, rollup_stale: up to where these two are true, and where not; see rollup.go
//	reading view (time, site, gateway, device, metric, value, quality)
//	device_kpi(gateway_pattern, device_pattern, priority, state_metric, …): which devices are machines
//
// Quality is 0 good, 1 uncertain, 2 bad. An event's identity is (gateway,
// device, metric, time). The value stored first stays; an offer of another
// value or quality for a stored identity becomes a row of conflict.
//
// # Writing
//
// A write resolves names to ids, sorts and dedupes the rows in memory, and
// sends them in one binary COPY that commits by itself. Only when that meets a
// stored identity does it fall back to INSERT … ON CONFLICT DO NOTHING and a
// comparison with what is stored. Rows and names go in one order everywhere, so
// that writers who overlap wait for each other instead of deadlocking.
//
// Every step can be repeated: a write that failed half-way, or whose answer was
// lost, is sent again whole and leaves each event there once.
package timescale
