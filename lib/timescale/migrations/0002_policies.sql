-- What the Timescale licence adds: chunks older than the longest lateness become
-- columnar, and those past the retention go. The compress names are those that
-- every version since 2.0 knows.

DO $$
BEGIN
	IF current_setting('insighthub.flavour') = 'timescale' AND current_setting('insighthub.licence') = 'timescale' THEN
		ALTER TABLE event SET (
			timescaledb.compress,
			timescaledb.compress_segmentby = 'device_id, metric_id',
			timescaledb.compress_orderby = 'time'
		);
		PERFORM add_compression_policy('event', interval '7 days');
		PERFORM add_retention_policy('event', interval '3653 days');
	END IF;
END
$$;
