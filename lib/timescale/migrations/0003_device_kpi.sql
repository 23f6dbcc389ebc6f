-- What an operator says about machines: which metrics report their state and
-- counts, what the states mean, and what is planned.

CREATE TABLE device_kpi (
	-- Names of gateways and devices; * stands for any text.
	gateway_pattern text NOT NULL DEFAULT '*' CHECK (gateway_pattern <> ''),
	device_pattern text NOT NULL DEFAULT '*' CHECK (device_pattern <> ''),
	-- Of the rows that match a device the one with the highest priority holds.
	priority int NOT NULL DEFAULT 100,
	-- A metric that is not reported is null. A row without any says: no machine.
	state_metric text CHECK (state_metric <> ''),
	count_metric text CHECK (count_metric <> ''),
	good_metric text CHECK (good_metric <> ''),
	-- {"<code>": {"element": "production|idle|setup|down|not_planned", "reason": "…"}};
	-- only down has a reason, and may be without. A code that is not here is unknown.
	states jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(states) = 'object'),
	-- The planned runtime per item.
	ideal_cycle_seconds float8 NOT NULL DEFAULT 0 CHECK (ideal_cycle_seconds >= 0 AND ideal_cycle_seconds <= 86400),
	-- The silence after which the state is unknown.
	stale_after_seconds float8 NOT NULL DEFAULT 60 CHECK (stale_after_seconds > 0 AND stale_after_seconds <= 86400),
	-- The planned time of a week in UTC: {"mon": [["06:00", "14:00"], ["14:30", "24:00"]], "tue": …}.
	-- Null means always. What passes midnight is written as two.
	planned jsonb CHECK (jsonb_typeof(planned) = 'object'),
	PRIMARY KEY (gateway_pattern, device_pattern)
);

COMMENT ON TABLE device_kpi IS 'Which devices are machines, and how their KPIs are computed.';

-- Fits the simulated fleet, whose fastest machine takes 2 s for an item.
INSERT INTO device_kpi (gateway_pattern, device_pattern, priority, state_metric, count_metric, good_metric, states, ideal_cycle_seconds)
VALUES ('*', '*', 0, 'state', 'cycle_count', 'good_count',
	'{"0": {"element": "production"}, "1": {"element": "idle"}, "2": {"element": "setup"}, "3": {"element": "down", "reason": "fault"}}', 2);
