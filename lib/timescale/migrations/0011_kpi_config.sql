-- A row is for one device, by its exact names, or a rule for the devices that match its
-- patterns. Before, a device named press* configured its neighbours.
ALTER TABLE device_kpi
	ADD COLUMN exact boolean NOT NULL DEFAULT false,
	-- Every item is good; for machines without a metric of good items.
	ADD COLUMN assume_good boolean NOT NULL DEFAULT false,
	-- The number of values of the counters, such as 65536; 0: they do not roll over.
	ADD COLUMN counter_modulus float8 NOT NULL DEFAULT 0
		CHECK (counter_modulus = 0 OR counter_modulus >= 2 AND counter_modulus <= 9007199254740992);

COMMENT ON COLUMN device_kpi.exact IS 'The names are exact, * included, and the row precedes all rules.';

-- What the API wrote has priority 1000, and is for a device that exists.
UPDATE device_kpi SET exact = true WHERE priority = 1000 AND (
	strpos(gateway_pattern || device_pattern, '*') = 0
	OR EXISTS (SELECT FROM device JOIN gateway ON gateway.id = device.gateway_id
		WHERE gateway.name = gateway_pattern AND device.name = device_pattern));

ALTER TABLE device_kpi DROP CONSTRAINT device_kpi_pkey, ADD PRIMARY KEY (gateway_pattern, device_pattern, exact);
