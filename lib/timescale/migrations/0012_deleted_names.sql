-- Devices and metrics can be deleted. Their rows go at once, which hides their readings;
-- the roll-up purges those in steps. purge.go has the details.
CREATE TABLE deleted_name (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	device_id int,
	metric_id int,
	deleted_at timestamptz NOT NULL DEFAULT now(),
	CHECK (num_nonnulls(device_id, metric_id) = 1)
);

-- Conflicts are listed, the last to arrive first, and counted by series and hour of
-- arrival: a source clock that stands still makes them without end, and the table conflict
-- keeps the newest of a series only.
ALTER TABLE conflict ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX conflict_id ON conflict (id);

CREATE TABLE conflict_hour (
	device_id int NOT NULL,
	metric_id int NOT NULL,
	hour timestamptz NOT NULL,
	count bigint NOT NULL,
	first_seen timestamptz NOT NULL,
	last_seen timestamptz NOT NULL,
	PRIMARY KEY (device_id, metric_id, hour)
);
INSERT INTO conflict_hour
SELECT device_id, metric_id, date_bin('1 hour', seen_at, 'epoch'), count(*), min(seen_at), max(seen_at) FROM conflict GROUP BY 1, 2, 3;

COMMENT ON TABLE deleted_name IS 'Ids of devices and metrics whose readings are being purged.';
COMMENT ON TABLE conflict IS 'The newest readings of each series whose identity was already stored with another value or quality.';
COMMENT ON TABLE conflict_hour IS 'Conflicts of each series by the hour of their arrival.';
