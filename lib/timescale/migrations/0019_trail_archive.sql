-- Parts of the audit trail that were moved to the archive; see docs/adr/0036-trail-archive.md.
CREATE TABLE trail_archive (
	first bigint PRIMARY KEY CHECK (first > 0),
	last bigint NOT NULL UNIQUE CHECK (last >= first),
	-- The hash of the entry last.
	hash bytea NOT NULL CHECK (octet_length(hash) = 32),
	-- The object in the bucket of the self-check.
	object text NOT NULL CHECK (object <> ''),
	archived_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER trail_archive_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_archive
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_append_only();

-- Entries leave the trail by trail_archived() only.
DROP TRIGGER trail_append_only ON trail;
CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_guarded('archive');

-- Removes the entries first_seq to last_seq, the oldest of the trail, which the archive has: whoever
-- calls it gives the hash of the last. It refuses entries younger than 27 days, gaps, and the newest
-- entry. A repetition removes nothing. Returns how many entries it removed.
CREATE FUNCTION trail_archived(first_seq bigint, last_seq bigint, last_hash bytea, object_key text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	removed bigint;
BEGIN
	-- Not the function's SET: that of a parameter which no library defines takes a superuser.
	PERFORM set_config('insighthub.trail_step', 'archive', true);
	LOCK TABLE trail_archive IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM trail_archive a WHERE a.first = first_seq AND a.last = last_seq AND a.hash = last_hash) THEN
		RETURN 0;
	END IF;
	IF first_seq <> coalesce((SELECT max(a.last) FROM trail_archive a), 0) + 1 THEN
		RAISE EXCEPTION 'entries % to % do not follow the archive', first_seq, last_seq USING ERRCODE = 'check_violation';
	END IF;
	IF NOT EXISTS (SELECT FROM trail t WHERE t.seq = last_seq AND t.hash = last_hash) THEN
		RAISE EXCEPTION 'entry % has another hash than in the archive, or does not exist', last_seq USING ERRCODE = 'check_violation';
	END IF;
	IF NOT EXISTS (SELECT FROM trail t WHERE t.seq > last_seq) THEN
		RAISE EXCEPTION 'entry % is the newest: it stays', last_seq USING ERRCODE = 'check_violation';
	END IF;
	IF EXISTS (SELECT FROM trail t WHERE t.seq BETWEEN first_seq AND last_seq AND t.time > now() - interval '27 days') THEN
		RAISE EXCEPTION 'entries % to % are too young to leave the trail', first_seq, last_seq USING ERRCODE = 'check_violation';
	END IF;
	INSERT INTO trail_archive (first, last, hash, object) VALUES (first_seq, last_seq, last_hash, object_key);
	DELETE FROM trail t WHERE t.seq BETWEEN first_seq AND last_seq;
	GET DIAGNOSTICS removed = ROW_COUNT;
	IF removed <> last_seq - first_seq + 1 THEN
		RAISE EXCEPTION 'the trail has % of the entries % to %', removed, first_seq, last_seq USING ERRCODE = 'check_violation';
	END IF;
	PERFORM set_config('insighthub.trail_step', '', true);
	RETURN removed;
END
$$;
REVOKE ALL ON FUNCTION trail_archived FROM PUBLIC;
