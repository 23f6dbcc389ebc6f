-- Ends of anomalies. One without ended_at and end_reason is active.
ALTER TABLE anomaly
	ADD COLUMN ended_at timestamptz,
	-- Those that are stored already ended at times that are not known. The default applies
	-- to them only.
	ADD COLUMN end_reason text DEFAULT 'unknown' CHECK (end_reason IN
		('cleared', 'superseded', 'past', 'rule_changed', 'rule_removed', 'unwatched', 'unknown')),
	-- The event arrived more than a minute after its time, or after newer ones of its series.
	ADD COLUMN late bool NOT NULL DEFAULT false,
	-- From the event's time to its arrival.
	ADD COLUMN lag_seconds float8 NOT NULL DEFAULT 0 CHECK (lag_seconds >= 0),
	ADD CHECK (ended_at >= time),
	ADD CHECK (ended_at IS NULL OR end_reason IS NOT NULL);
ALTER TABLE anomaly ALTER COLUMN end_reason DROP DEFAULT;
CREATE INDEX anomaly_active ON anomaly (time DESC, id DESC) WHERE end_reason IS NULL;

ALTER TABLE alarm_rule
	-- rate: a change in a shorter time counts as one in this time.
	ADD COLUMN min_interval_seconds float8 NOT NULL DEFAULT 0 CHECK (min_interval_seconds >= 0),
	-- no_data: events of bad quality, without a finite value, or of the time of the event
	-- before do not count.
	ADD COLUMN ignore_bad bool NOT NULL DEFAULT false;
UPDATE alarm_rule SET min_interval_seconds = 1 WHERE kind = 'rate';
ALTER TABLE alarm_rule ADD CHECK (kind <> 'rate' OR min_interval_seconds > 0);
