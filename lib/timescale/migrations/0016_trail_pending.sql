-- The audit trail without a lock that changes wait for; see docs/adr/0035-trail-sealing.md.
-- A change inserts its entry here, in its own transaction. trail_seal() moves committed
-- entries into the chain.
CREATE TABLE trail_pending (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	time timestamptz NOT NULL,
	actor text NOT NULL,
	action text NOT NULL,
	object text NOT NULL,
	site text NOT NULL,
	detail text NOT NULL,
	appended_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What is added up: the actions, how often they become entries, and whether the caller is
-- known. lib/trail has the same list; a test compares the two.
CREATE TABLE trail_sum_action (
	action text PRIMARY KEY,
	object text NOT NULL,
	-- Of known callers, each has entries of its own. Failures of unknown callers are one entry.
	known boolean NOT NULL,
	every interval NOT NULL,
	summed_at timestamptz
);
INSERT INTO trail_sum_action (action, object, known, every) VALUES
	('access_token.refuse', 'access_tokens', false, '1 minute'),
	('session.refuse', 'sessions', false, '1 minute'),
	('token.refuse', 'gateways', false, '1 minute'),
	('access.refuse', 'requests', true, '1 minute'),
	('session.refresh', 'sessions', true, '15 minutes'),
	('token.grant', 'access_tokens', true, '15 minutes');

-- The reports of the processes, one row for each line, until they are added up. The lengths
-- are those of lib/trail.
CREATE TABLE trail_sum (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	action text NOT NULL REFERENCES trail_sum_action,
	reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 96),
	source text NOT NULL CHECK (length(source) <= 64),
	route text NOT NULL CHECK (length(route) <= 128),
	kid text NOT NULL CHECK (length(kid) <= 64),
	subject text NOT NULL CHECK (length(subject) <= 512),
	site text NOT NULL CHECK (length(site) <= 128),
	number bigint NOT NULL CHECK (number BETWEEN 1 AND 1000000000000),
	first timestamptz NOT NULL CHECK (first BETWEEN '2000-01-01Z' AND last),
	last timestamptz NOT NULL CHECK (last < '3000-01-01Z')
);
CREATE INDEX trail_sum_by_action ON trail_sum (action);

-- Ids of deliveries are stored for as long as a bus or a queue may deliver again.
DROP TRIGGER trail_delivery_append_only ON trail_delivery;
ALTER TABLE trail_delivery ADD COLUMN received_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX trail_delivery_received ON trail_delivery (received_at);

-- Rows leave these tables by the functions below only, which set trail_step. Whoever owns the
-- tables can set it too: against the owner there are the anchors.
CREATE FUNCTION trail_is_guarded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP <> 'DELETE' OR current_setting('insighthub.trail_step', true) IS DISTINCT FROM TG_ARGV[0] THEN
		RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER trail_pending_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_pending
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_guarded('seal');
CREATE TRIGGER trail_sum_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_sum
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_guarded('seal');
CREATE TRIGGER trail_delivery_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_delivery
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_guarded('forget');

-- The hash of an entry; see package trail. A test compares the two.
CREATE FUNCTION trail_hash(previous bytea, seq bigint, at timestamptz, actor text, action text, object text, site text, detail text)
RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT sha256(previous || int8send(seq) || int8send((extract(epoch FROM at) * 1000000)::bigint)
		|| int4send(octet_length(actor)) || convert_to(actor, 'UTF8')
		|| int4send(octet_length(action)) || convert_to(action, 'UTF8')
		|| int4send(octet_length(object)) || convert_to(object, 'UTF8')
		|| int4send(octet_length(site)) || convert_to(site, 'UTF8')
		|| int4send(octet_length(detail)) || convert_to(detail, 'UTF8'))
$$;

-- A time as in the JSON documents of the API.
CREATE FUNCTION trail_time(t timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The actions whose sums are due: something happened, and not within the interval before.
CREATE FUNCTION trail_due() RETURNS TABLE (action text) LANGUAGE sql SET search_path = public, pg_temp AS $$
	SELECT a.action FROM trail_sum_action a
	WHERE (a.summed_at IS NULL OR a.summed_at > clock_timestamp() OR a.summed_at <= clock_timestamp() - a.every)
		AND EXISTS (SELECT FROM trail_sum s WHERE s.action = a.action)
	ORDER BY a.action
$$;

-- Makes entries of the sums of an action: one if its callers are unknown, and
-- otherwise one for each caller and site. An entry has at most 33 lines: the largest 24; then the largest
-- 8 of the others by reason and route alone; then what is left. Nothing is uncounted.
CREATE FUNCTION trail_add_up(which text) RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
	WITH taken AS (
		DELETE FROM trail_sum WHERE action = which RETURNING *
	), exact AS (
		SELECT CASE WHEN a.known THEN t.subject ELSE '' END AS actor, t.site, a.object, t.reason, t.source, t.route, t.kid,
			CASE WHEN a.known THEN '' ELSE t.subject END AS claimed,
			sum(t.number) AS number, min(t.first) AS first, max(t.last) AS last
		FROM taken t JOIN trail_sum_action a USING (action) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
	), ranked AS (
		SELECT *, row_number() OVER (PARTITION BY actor, site, object
			ORDER BY reason = 'other', number DESC, first, reason, source, route, kid, claimed) > 24 AS rest
		FROM exact
	), folded AS (
		SELECT actor, site, object, reason, CASE WHEN NOT rest THEN source END AS source, route, CASE WHEN NOT rest THEN kid END AS kid,
			CASE WHEN NOT rest THEN claimed END AS claimed, rest, sum(number) AS number, min(first) AS first, max(last) AS last
		FROM ranked GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	), reranked AS (
		SELECT *, rest AND row_number() OVER (PARTITION BY actor, site, object, rest
			ORDER BY reason = 'other', number DESC, first, reason, route) > 8 AS other
		FROM folded
	), lines AS (
		SELECT actor, site, object, CASE WHEN other THEN 'other' ELSE reason END AS reason, source,
			CASE WHEN NOT other THEN route END AS route, kid, claimed, rest, sum(number) AS number, min(first) AS first, max(last) AS last
		FROM reranked GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
	)
	INSERT INTO trail_pending (time, actor, action, object, site, detail)
	SELECT max(last), actor, which, object, site, json_strip_nulls(json_build_object(
		'number', sum(number), 'first', trail_time(min(first)), 'last', trail_time(max(last)),
		'refusals', json_agg(json_build_object(
			'reason', reason, 'source', nullif(source, ''), 'route', nullif(route, ''), 'kid', nullif(kid, ''),
			'claimed_subject', nullif(claimed, ''), 'number', number, 'first', trail_time(first), 'last', trail_time(last))
			ORDER BY rest, reason = 'other', number DESC, first, reason, source, route, kid, claimed)))::text
	FROM lines GROUP BY actor, site, object ORDER BY max(last), actor, site
$$;

-- Adds up the sums that are due and moves up to batch committed entries into the chain, under
-- the one lock that orders it. Changes never wait for that lock. Returns how many entries it
-- moved, and how many it left.
CREATE FUNCTION trail_seal(batch int, OUT sealed int, OUT remaining bool)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	due text;
	entry trail_pending;
	last_seq bigint := 0;
	last_hash bytea := decode(repeat('00', 32), 'hex');
	ids bigint[] := '{}';
BEGIN
	sealed := 0;
	remaining := false;
	-- Only rows that are committed are seen, and by all who come later.
	IF NOT EXISTS (SELECT FROM trail_pending) AND NOT EXISTS (SELECT FROM trail_due()) THEN
		RETURN;
	END IF;
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION 'the audit trail is sealed at the isolation level read committed only';
	END IF;
	-- A lock of a table on which no function's role has a right: none of them can hold it.
	LOCK TABLE trail_sum_action IN SHARE ROW EXCLUSIVE MODE;
	-- From here each statement sees what the sealer before has committed.
	-- Not SET in the function's head: only superusers may do that with a parameter of one's own.
	PERFORM set_config('insighthub.trail_step', 'seal', true);
	FOR due IN SELECT d.action FROM trail_due() d LOOP
		PERFORM trail_add_up(due);
		UPDATE trail_sum_action SET summed_at = clock_timestamp() WHERE action = due;
	END LOOP;
	SELECT t.seq, t.hash INTO last_seq, last_hash FROM trail t ORDER BY t.seq DESC LIMIT 1;
	last_seq := coalesce(last_seq, 0);
	last_hash := coalesce(last_hash, decode(repeat('00', 32), 'hex'));
	FOR entry IN SELECT * FROM trail_pending p ORDER BY p.id LIMIT batch LOOP
		last_seq := last_seq + 1;
		INSERT INTO trail (seq, time, actor, action, object, site, detail, previous, hash) VALUES (last_seq, entry.time, entry.actor,
			entry.action, entry.object, entry.site, entry.detail, last_hash,
			trail_hash(last_hash, last_seq, entry.time, entry.actor, entry.action, entry.object, entry.site, entry.detail))
			RETURNING hash INTO last_hash;
		ids := ids || entry.id;
	END LOOP;
	DELETE FROM trail_pending p WHERE p.id = ANY (ids);
	PERFORM set_config('insighthub.trail_step', '', true);
	sealed := cardinality(ids);
	remaining := EXISTS (SELECT FROM trail_pending);
END
$$;

-- Deletes ids of deliveries that can arrive no more, some at a time.
CREATE FUNCTION trail_forget_deliveries() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
	forgotten int;
BEGIN
	PERFORM set_config('insighthub.trail_step', 'forget', true);
	DELETE FROM trail_delivery WHERE id IN (SELECT id FROM trail_delivery WHERE received_at < now() - interval '45 days' LIMIT 10000);
	GET DIAGNOSTICS forgotten = ROW_COUNT;
	PERFORM set_config('insighthub.trail_step', '', true);
	RETURN forgotten;
END
$$;
REVOKE ALL ON FUNCTION trail_due, trail_add_up, trail_seal, trail_forget_deliveries FROM PUBLIC;
