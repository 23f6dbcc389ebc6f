-- All series, and their events by minute, for queries of latest readings and of long
-- ranges. rollup.go keeps them up to date.

CREATE TABLE series (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	PRIMARY KEY (device_id, metric_id)
);
INSERT INTO series SELECT DISTINCT device_id, metric_id FROM event;

-- One row for each minute and quality of a series, computed from the rows of the table
-- event. sum limits values to 1e290, so that it cannot overflow.
CREATE TABLE event_minute (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	minute timestamptz NOT NULL,
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
		PERFORM create_hypertable('event_minute', by_range('minute', interval '30 days'), create_default_indexes => false);
	END IF;
END
$$;

CREATE UNIQUE INDEX event_minute_identity ON event_minute (device_id, metric_id, minute, quality);

-- event_minute holds every minute before the watermark except those of stale hours,
-- which the next roll-up recomputes. Stale rows are inserted and deleted, never updated,
-- so that writers do not wait for each other.
CREATE TABLE rollup_watermark (
	only_row bool PRIMARY KEY DEFAULT true CHECK (only_row),
	watermark timestamptz NOT NULL
);
INSERT INTO rollup_watermark (watermark) VALUES (date_trunc('minute', now() - interval '10 minutes'));

CREATE TABLE rollup_stale (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	hour timestamptz NOT NULL
);
CREATE INDEX rollup_stale_series ON rollup_stale (device_id, metric_id, hour);
INSERT INTO rollup_stale
SELECT DISTINCT device_id, metric_id, date_bin('1 hour', time, 'epoch') FROM event, rollup_watermark WHERE time < watermark;

COMMENT ON TABLE series IS 'Which metrics of which devices have ever had an event.';
COMMENT ON TABLE event_minute IS 'Events by minute and quality, for the minutes before the watermark.';
