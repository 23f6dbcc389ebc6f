-- What the roll-up does with the rights of the tables' owner: only the owner of a table
-- may drop its chunks and configure its policies. grants.go says who may execute these.
CREATE FUNCTION retention_drop_chunks(relation text, before timestamptz) RETURNS int
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	dropped int := 0;
BEGIN
	IF relation NOT IN ('event', 'event_minute', 'event_hour') THEN
		RAISE EXCEPTION 'no retention for %', relation USING ERRCODE = 'insufficient_privilege';
	END IF;
	-- drop_chunks takes locks even if there is nothing to drop.
	IF EXISTS (SELECT FROM show_chunks(relation::regclass, older_than => before)) THEN
		SELECT count(*) INTO dropped FROM drop_chunks(relation::regclass, older_than => before);
	END IF;
	RETURN dropped;
END
$$;

-- The policy drops chunks a day later than the retention, so that it only drops those before
-- the table's start. days = 0 removes it.
CREATE FUNCTION retention_set_policy(relation text, days int, paused boolean) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	job int;
	current_days int;
	running boolean;
BEGIN
	IF relation NOT IN ('event', 'event_minute', 'event_hour') THEN
		RAISE EXCEPTION 'no retention for %', relation USING ERRCODE = 'insufficient_privilege';
	END IF;
	SELECT job_id, (extract(epoch FROM (config->>'drop_after')::interval) / 86400)::int, scheduled INTO job, current_days, running
	FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = relation;
	IF job IS NOT NULL AND (days = 0 OR current_days <> days + 1) THEN
		PERFORM remove_retention_policy(relation::regclass);
		job := NULL;
	END IF;
	IF days = 0 THEN
		RETURN;
	END IF;
	IF job IS NULL THEN
		job := add_retention_policy(relation::regclass, make_interval(days => days + 1));
		running := true;
	END IF;
	IF running = paused THEN
		PERFORM alter_job(job, scheduled => NOT paused);
	END IF;
END
$$;
