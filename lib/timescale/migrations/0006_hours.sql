-- The events by hour, for ranges of months and years, and how far back each
-- table reaches. rolluphours.go and retention.go keep them up to date.

-- As event_minute, computed from its rows.
CREATE TABLE event_hour (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	hour timestamptz NOT NULL,
	quality int2 NOT NULL,
	count int NOT NULL,
	sum float8 NOT NULL,
	min float8 NOT NULL,
	max float8 NOT NULL,
	first_at timestamptz NOT NULL,
	first float8 NOT NULL,
	last_at timestamptz NOT NULL,
	last float8 NOT NULL
);

DO $$
BEGIN
	IF current_setting('insighthub.flavour') = 'timescale' THEN
		PERFORM create_hypertable('event_hour', by_range('hour', interval '365 days'), create_default_indexes => false);
	END IF;
END
$$;

CREATE UNIQUE INDEX event_hour_identity ON event_hour (device_id, metric_id, hour, quality);

-- event_hour holds every hour before the hour watermark, which follows the watermark,
-- except the stale ones. Rows before events_since, minutes_since and hours_since were
-- dropped or may be dropped at any time: they are not recomputed.
ALTER TABLE rollup_watermark
	ADD COLUMN hour_watermark timestamptz,
	ADD COLUMN events_since timestamptz NOT NULL DEFAULT '0001-01-01T00:00:00Z',
	ADD COLUMN minutes_since timestamptz NOT NULL DEFAULT '0001-01-01T00:00:00Z',
	ADD COLUMN hours_since timestamptz NOT NULL DEFAULT '0001-01-01T00:00:00Z';

-- The roll-up computes the hours of existing minutes, from the oldest on.
UPDATE rollup_watermark SET hour_watermark = date_bin('1 hour', least(watermark, (
	SELECT min(oldest.minute) FROM series CROSS JOIN LATERAL (
		SELECT minute FROM event_minute
		WHERE event_minute.device_id = series.device_id AND event_minute.metric_id = series.metric_id
		ORDER BY minute LIMIT 1) AS oldest)), 'epoch');
ALTER TABLE rollup_watermark ALTER COLUMN hour_watermark SET NOT NULL;

-- A roll-up of an earlier version, as after a deployment that was rolled back, would
-- recompute the minutes of a stale hour but not the hour. It fails instead: stale hours
-- are read from events until the newer version runs.
CREATE FUNCTION rollup_knows_hours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('insighthub.rollup', true) IS DISTINCT FROM 'hours' THEN
		RAISE EXCEPTION 'this roll-up knows nothing of hours: it is older than the schema' USING ERRCODE = 'insufficient_privilege';
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER rollup_stale_taken BEFORE DELETE ON rollup_stale
	FOR EACH STATEMENT EXECUTE FUNCTION rollup_knows_hours();

-- With the Timescale licence the roll-up updates the retention policies of all three
-- tables as configured, and minutes and hours become columnar like events.
DO $$
BEGIN
	IF current_setting('insighthub.flavour') = 'timescale' AND current_setting('insighthub.licence') = 'timescale' THEN
		PERFORM remove_retention_policy('event', if_exists => true);
		ALTER TABLE event_minute SET (
			timescaledb.compress,
			timescaledb.compress_segmentby = 'device_id, metric_id',
			timescaledb.compress_orderby = 'minute, quality'
		);
		PERFORM add_compression_policy('event_minute', interval '7 days');
		ALTER TABLE event_hour SET (
			timescaledb.compress,
			timescaledb.compress_segmentby = 'device_id, metric_id',
			timescaledb.compress_orderby = 'hour, quality'
		);
		PERFORM add_compression_policy('event_hour', interval '7 days');
	END IF;
END
$$;

COMMENT ON TABLE event_hour IS 'Events by hour and quality, for the hours before the hour watermark.';
