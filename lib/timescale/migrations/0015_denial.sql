-- Access tokens that are no longer accepted although they have not expired. A row is written
-- in the transaction that takes something away; lib/denylist publishes all rows to the
-- functions that see tokens.
CREATE TABLE denial (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	-- An account's id or a gateway's name.
	subject text NOT NULL CHECK (subject <> ''),
	-- The login whose tokens are denied; empty: all of the subject.
	session text NOT NULL DEFAULT '',
	-- Tokens that were issued for an earlier version of the subject are denied; 0: all that
	-- were issued until created_at.
	version bigint NOT NULL DEFAULT 0,
	-- Not now(): that is the start of the transaction, which may have waited for a lock.
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	-- No token is valid for longer than an hour (token.MaxLifetime) and the tolerated skew.
	expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '65 minutes'
);
CREATE INDEX denial_expires ON denial (expires_at);
