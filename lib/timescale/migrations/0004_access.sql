-- Who may do what, what there is, and the record of who changed it. A version
-- counts the changes of a row; it is the row's ETag.

CREATE TABLE site (
	name text PRIMARY KEY CHECK (name <> '' AND name <> '*'),
	title text NOT NULL DEFAULT '',
	-- IANA name: the days and shifts of reports.
	time_zone text NOT NULL DEFAULT 'UTC',
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

-- A gateway comes into being with its registration or, where tokens are minted
-- elsewhere, with its first batch. One that is revoked gets no token any more.
ALTER TABLE gateway
	ADD COLUMN title text NOT NULL DEFAULT '',
	ADD COLUMN registered_at timestamptz,
	ADD COLUMN revoked_at timestamptz,
	ADD COLUMN version bigint NOT NULL DEFAULT 1;
CREATE INDEX gateway_site ON gateway (site, name);

-- The public keys with which gateways sign their assertions (RFC 7523).
CREATE TABLE gateway_key (
	-- The RFC 7638 thumbprint.
	kid text PRIMARY KEY,
	gateway_id int NOT NULL REFERENCES gateway,
	jwk jsonb NOT NULL CHECK (jsonb_typeof(jwk) = 'object'),
	created_at timestamptz NOT NULL DEFAULT now(),
	-- After a rotation the old key is good until then. Null means no end.
	not_after timestamptz
);
CREATE INDEX gateway_key_gateway ON gateway_key (gateway_id);

ALTER TABLE device
	ADD COLUMN title text NOT NULL DEFAULT '',
	ADD COLUMN description text NOT NULL DEFAULT '',
	ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE metric
	ADD COLUMN title text NOT NULL DEFAULT '',
	-- UCUM code, such as Cel, mm/s, bar, {count}.
	ADD COLUMN unit text NOT NULL DEFAULT '',
	ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE device_kpi ADD COLUMN version bigint NOT NULL DEFAULT 1;

CREATE TABLE account (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	-- Lower case; what a person logs in with.
	name text NOT NULL UNIQUE CHECK (name = lower(name) AND name <> ''),
	-- PHC string of argon2id.
	password text NOT NULL,
	disabled bool NOT NULL DEFAULT false,
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE account_grant (
	account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
	-- A site, which need not exist yet, or * for every site.
	site text NOT NULL CHECK (site <> ''),
	role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
	PRIMARY KEY (account_id, site)
);

-- Attempts to log in, by name and by address, whether or not there is such an
-- account: a lock does not reveal whether the account exists.
CREATE TABLE login_attempt (
	-- SHA-256 of what the attempts have in common.
	key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
	failures int NOT NULL,
	locked_until timestamptz,
	last_at timestamptz NOT NULL
);
CREATE INDEX login_attempt_last ON login_attempt (last_at);

-- Refresh tokens are stored as SHA-256 only. Each is used once; a second use
-- revokes its family, which is all tokens of one login.
CREATE TABLE refresh_token (
	hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
	family uuid NOT NULL,
	account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	used_at timestamptz,
	-- What it was exchanged for: the same exchange, repeated after a lost connection, is no second use.
	successor bytea CHECK (octet_length(successor) = 32),
	revoked_at timestamptz
);
CREATE INDEX refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_account ON refresh_token (account_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires_at);

-- Assertions that were accepted, until they expire (RFC 7523, 3: jti).
CREATE TABLE assertion (
	issuer text NOT NULL,
	jti text NOT NULL,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (issuer, jti)
);
CREATE INDEX assertion_expires ON assertion (expires_at);

-- Responses to POSTs with an Idempotency-Key.
CREATE TABLE idempotency (
	subject text NOT NULL,
	key text NOT NULL,
	-- SHA-256 of method, path and body: the same key for something else is an error.
	request bytea NOT NULL CHECK (octet_length(request) = 32),
	-- Null while the first request is under way.
	status int,
	header jsonb,
	body bytea,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (subject, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- The audit trail; see the package trail for what the hash covers. Rows are never
-- changed or deleted.
CREATE TABLE trail (
	seq bigint PRIMARY KEY CHECK (seq > 0),
	time timestamptz NOT NULL,
	actor text NOT NULL,
	action text NOT NULL,
	object text NOT NULL,
	site text NOT NULL,
	detail text NOT NULL,
	previous bytea NOT NULL CHECK (octet_length(previous) = 32),
	hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
CREATE INDEX trail_site ON trail (site, seq);
CREATE FUNCTION trail_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_append_only();

-- What the detector and the rules found. The identity makes a repetition harmless.
CREATE TABLE anomaly (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	device_id int NOT NULL REFERENCES device,
	-- Null when it is about the whole machine.
	metric_id int REFERENCES metric,
	time timestamptz NOT NULL,
	-- score and machine are the detector's, the others a rule's.
	kind text NOT NULL CHECK (kind IN ('score', 'machine', 'threshold', 'rate', 'no_data')),
	-- The rule, or the nil UUID.
	rule uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
	score float8 NOT NULL DEFAULT 1 CHECK (score >= 0 AND score <= 1),
	value float8,
	severity text NOT NULL DEFAULT 'warning' CHECK (severity IN ('info', 'warning', 'critical')),
	-- For people; never holds what a caller sent unescaped.
	message text NOT NULL DEFAULT '',
	created_at timestamptz NOT NULL DEFAULT now(),
	acknowledged_at timestamptz,
	acknowledged_by text,
	version bigint NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX anomaly_identity ON anomaly (device_id, coalesce(metric_id, 0), time, kind, rule);
CREATE INDEX anomaly_time ON anomaly (time DESC, id DESC);

CREATE TABLE anomaly_comment (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	anomaly_id bigint NOT NULL REFERENCES anomaly,
	author text NOT NULL,
	time timestamptz NOT NULL DEFAULT now(),
	text text NOT NULL CHECK (text <> '')
);
CREATE INDEX anomaly_comment_anomaly ON anomaly_comment (anomaly_id, id);

-- Alarms by rule beside the detector. Names of gateways, devices and metrics; the
-- device need not have reported yet.
CREATE TABLE alarm_rule (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	site text NOT NULL CHECK (site <> ''),
	gateway text NOT NULL CHECK (gateway <> ''),
	device text NOT NULL CHECK (device <> ''),
	metric text NOT NULL CHECK (metric <> ''),
	kind text NOT NULL CHECK (kind IN ('threshold', 'rate', 'no_data')),
	-- threshold: the value is outside of low to high; either may be null.
	low float8,
	high float8,
	-- threshold: a value counts as back only this far inside.
	hysteresis float8 NOT NULL DEFAULT 0 CHECK (hysteresis >= 0),
	-- rate: the most that the value may change in a second.
	per_second float8 CHECK (per_second > 0),
	-- no_data: the longest silence.
	silence_seconds float8 CHECK (silence_seconds > 0),
	severity text NOT NULL DEFAULT 'warning' CHECK (severity IN ('info', 'warning', 'critical')),
	enabled bool NOT NULL DEFAULT true,
	version bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CHECK (CASE kind
		WHEN 'threshold' THEN (low IS NOT NULL OR high IS NOT NULL) AND (low IS NULL OR high IS NULL OR low <= high)
		WHEN 'rate' THEN per_second IS NOT NULL
		ELSE silence_seconds IS NOT NULL END)
);
CREATE INDEX alarm_rule_device ON alarm_rule (gateway, device, metric);
CREATE INDEX alarm_rule_site ON alarm_rule (site, id);

-- What consoles report of themselves: errors, latencies.
CREATE TABLE client_report (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	time timestamptz NOT NULL DEFAULT now(),
	subject text NOT NULL,
	site text NOT NULL,
	kind text NOT NULL,
	message text NOT NULL,
	detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX client_report_site ON client_report (site, id);
