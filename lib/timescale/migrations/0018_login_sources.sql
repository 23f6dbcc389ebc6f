-- Attempts of a name from a network: the failures since the last success there, and that
-- success. A network is known for a name for a while after it (ADR 37). Both keys are
-- SHA-256, those of login_attempt.
CREATE TABLE login_source (
	name_key bytea NOT NULL CHECK (octet_length(name_key) = 32),
	network_key bytea NOT NULL CHECK (octet_length(network_key) = 32),
	failures int NOT NULL,
	last_at timestamptz NOT NULL,
	locked_until timestamptz,
	succeeded_at timestamptz,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (name_key, network_key)
);
CREATE INDEX login_source_expires ON login_source (expires_at);

-- The canonical form of a name (RFC 8265) is made by the platform, and its lower case is not
-- in all letters the one of the database's locale.
ALTER TABLE account DROP CONSTRAINT account_name_check, ADD CONSTRAINT account_name_check CHECK (name <> '');
