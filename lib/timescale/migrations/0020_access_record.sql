-- Who read what: see lib/accessrecord. A line is what the reads of one minute that are alike
-- have in common.
CREATE TABLE access_record (
	minute timestamptz NOT NULL,
	-- Of what the reads have in common.
	key bytea NOT NULL CHECK (octet_length(key) = 16),
	first timestamptz NOT NULL,
	last timestamptz NOT NULL,
	count bigint NOT NULL CHECK (count > 0),
	subject text NOT NULL CHECK (length(subject) <= 512),
	role text NOT NULL,
	-- Empty for what belongs to no site.
	site text NOT NULL,
	-- The operationId of the contract.
	operation text NOT NULL,
	selection text NOT NULL CHECK (length(selection) <= 1024),
	status int2 NOT NULL,
	source text NOT NULL,
	-- Of the last read.
	request_id text NOT NULL
);

DO $$
BEGIN
	IF current_setting('insighthub.flavour') = 'timescale' THEN
		PERFORM create_hypertable('access_record', by_range('minute', interval '1 day'), create_default_indexes => false);
	END IF;
END
$$;

CREATE UNIQUE INDEX access_record_line ON access_record (minute, key);
CREATE INDEX access_record_subject ON access_record (subject, minute);
CREATE INDEX access_record_site ON access_record (site, minute);

-- That of 0017, with this table.
CREATE OR REPLACE FUNCTION retention_drop_chunks(relation text, before timestamptz) RETURNS int
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	dropped int := 0;
BEGIN
	IF relation NOT IN ('event', 'event_minute', 'event_hour', 'access_record') THEN
		RAISE EXCEPTION 'no retention for %', relation USING ERRCODE = 'insufficient_privilege';
	END IF;
	-- drop_chunks takes locks even if there is nothing to drop.
	IF EXISTS (SELECT FROM show_chunks(relation::regclass, older_than => before)) THEN
		SELECT count(*) INTO dropped FROM drop_chunks(relation::regclass, older_than => before);
	END IF;
	RETURN dropped;
END
$$;
