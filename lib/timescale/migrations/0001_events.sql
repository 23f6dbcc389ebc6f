-- The dictionaries, the events, and what contradicted them.
-- insighthub.flavour is timescale or plain; see migrate.go.

CREATE TABLE gateway (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL UNIQUE,
	site text NOT NULL,
	-- When the platform accepted the batch that named this site. A gateway that
	-- moves takes its site along; a late replay does not move it back.
	site_since timestamptz NOT NULL
);

CREATE TABLE device (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	gateway_id int NOT NULL REFERENCES gateway,
	name text NOT NULL,
	UNIQUE (gateway_id, name)
);

CREATE TABLE metric (
	id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	gateway_id int NOT NULL REFERENCES gateway,
	name text NOT NULL,
	UNIQUE (gateway_id, name)
);

-- No foreign keys: a check per row and key would cost more than the insert, and
-- the only writer takes both ids from the tables above.
CREATE TABLE event (
	time timestamptz NOT NULL,
	device_id int NOT NULL,
	metric_id int NOT NULL,
	value float8 NOT NULL,
	quality int2 NOT NULL
);

DO $$
BEGIN
	IF current_setting('insighthub.flavour') = 'timescale' THEN
		PERFORM create_hypertable('event', by_range('time', interval '1 day'), create_default_indexes => false);
	END IF;
END
$$;

CREATE UNIQUE INDEX event_identity ON event (device_id, metric_id, time);

CREATE TABLE conflict (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	time timestamptz NOT NULL,
	value float8 NOT NULL,
	quality int2 NOT NULL,
	seen_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (device_id, metric_id, time, value, quality)
);

CREATE VIEW reading AS
SELECT event.time, gateway.site, gateway.name AS gateway, device.name AS device, metric.name AS metric, event.value,
	CASE event.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' WHEN 2 THEN 'bad' ELSE 'invalid' END AS quality
FROM event
JOIN device ON device.id = event.device_id
JOIN metric ON metric.id = event.metric_id
JOIN gateway ON gateway.id = device.gateway_id;

COMMENT ON TABLE event IS 'One reading: identity (device_id, metric_id, time); quality 0 good, 1 uncertain, 2 bad.';
COMMENT ON TABLE conflict IS 'Offered readings whose identity was already stored with another value or quality.';
