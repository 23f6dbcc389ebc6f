-- The KPI samples of the gateways $1, computed from their readings, for all windows of
-- $3 s that end by $2 (s). A window [begin, finish) is identified by finish.
WITH reading_of AS MATERIALIZED (
	SELECT gateway, device, metric, value, quality, extract(epoch FROM time) AS t, (floor(extract(epoch FROM time) / $3::bigint) + 1) * $3::bigint AS finish
	FROM reading WHERE gateway = ANY ($1::text[])
), usable AS (
	SELECT * FROM reading_of WHERE quality <> 'bad'
), gateway_window AS (
	SELECT gateway, generate_series(min(finish), $2::bigint, $3::bigint) AS finish FROM reading_of GROUP BY gateway
), device_window AS (
	SELECT gateway, device, generate_series(min(finish), $2::bigint, $3::bigint) AS finish FROM usable GROUP BY gateway, device
), state_of AS (
	-- A state lasts until the next one; a repeated report continues it.
	SELECT gateway, device, finish, value, t,
		lead(t, 1, $2::numeric) OVER line AS until, lag(value) OVER line AS before
	FROM usable WHERE metric = 'state'
	WINDOW line AS (PARTITION BY gateway, device ORDER BY t)
), spent AS (
	SELECT w.gateway, w.device, w.finish, s.value AS state,
		sum(least(s.until, w.finish) - greatest(s.t, w.finish - $3::bigint)) AS seconds
	FROM device_window w JOIN state_of s ON s.gateway = w.gateway AND s.device = w.device AND s.t < w.finish AND s.until > w.finish - $3::bigint
	GROUP BY w.gateway, w.device, w.finish, s.value
), seconds AS (
	SELECT w.gateway, w.device, w.finish,
		coalesce(sum(s.seconds), 0) AS busy,
		coalesce(sum(s.seconds) FILTER (WHERE state = 0), 0) AS production,
		coalesce(sum(s.seconds) FILTER (WHERE state = 1), 0) AS idle,
		coalesce(sum(s.seconds) FILTER (WHERE state = 2), 0) AS setup,
		coalesce(sum(s.seconds) FILTER (WHERE state = 3), 0) AS down
	FROM device_window w LEFT JOIN spent s USING (gateway, device, finish)
	GROUP BY w.gateway, w.device, w.finish
), failed AS (
	SELECT gateway, device, finish, count(*) AS failures FROM state_of WHERE value = 3 AND before <> 3 GROUP BY gateway, device, finish
), grown AS (
	-- A counter that decreased was reset to zero: the readings that are compared have resets, and no dips.
	-- All states of theirs are busy ones, so only items from before the first state are not made in busy time.
	SELECT gateway, device, metric, finish, t > first_state AS busy, CASE WHEN value >= before THEN value - before WHEN value < before THEN value ELSE 0 END AS growth
	FROM (
		SELECT *, lag(value) OVER (PARTITION BY gateway, device, metric ORDER BY t) AS before
		FROM usable WHERE metric IN ('cycle_count', 'good_count')
	) counter LEFT JOIN (SELECT gateway, device, min(t) AS first_state FROM state_of GROUP BY gateway, device) s USING (gateway, device)
), counts AS (
	SELECT w.gateway, w.device, w.finish,
		coalesce(sum(g.growth) FILTER (WHERE metric = 'cycle_count'), 0) AS produced,
		coalesce(sum(g.growth) FILTER (WHERE metric = 'good_count'), 0) AS good,
		coalesce(sum(g.growth) FILTER (WHERE metric = 'cycle_count' AND g.busy), 0) AS busy_produced,
		coalesce(sum(g.growth) FILTER (WHERE metric = 'good_count' AND g.busy), 0) AS busy_good
	FROM device_window w LEFT JOIN grown g USING (gateway, device, finish)
	GROUP BY w.gateway, w.device, w.finish
), reported AS (
	-- From the window of the first reading of a metric on, the machine reports it; a device that reports none of them is none.
	-- The ratios begin with the window after that.
	SELECT w.gateway, w.device, w.finish, w.finish >= f.state AS state, w.finish >= f.count AS count, w.finish >= f.good AS good,
		w.finish > f.count AS all_count, w.finish > f.good AS all_good
	FROM device_window w JOIN (
		SELECT gateway, device, min(finish) FILTER (WHERE metric = 'state') AS state,
			min(finish) FILTER (WHERE metric = 'cycle_count') AS count, min(finish) FILTER (WHERE metric = 'good_count') AS good
		FROM usable GROUP BY gateway, device
	) f USING (gateway, device)
	WHERE w.finish >= least(f.state, f.count, f.good)
), series_window AS (
	SELECT gateway, device, metric, finish, count(*) AS samples, min(value) AS least, max(value) AS most, avg(value) AS mean,
		(array_agg(value ORDER BY t DESC))[1] AS last
	FROM usable GROUP BY gateway, device, metric, finish
), newest AS (
	SELECT w.gateway, w.finish, max(u.t) OVER (PARTITION BY w.gateway ORDER BY w.finish) AS t
	FROM gateway_window w LEFT JOIN (SELECT gateway, finish, max(t) AS t FROM usable GROUP BY gateway, finish) u USING (gateway, finish)
), sample AS (
	SELECT name, gateway, '' AS device, '' AS metric, '' AS reason, finish, value
	FROM gateway_window w LEFT JOIN (
		SELECT gateway, finish, count(*) AS events, count(*) FILTER (WHERE quality = 'bad') AS bad FROM reading_of GROUP BY gateway, finish
	) e USING (gateway, finish)
	CROSS JOIN LATERAL (VALUES ('window_events', coalesce(events, 0)), ('window_bad_quality_events', coalesce(bad, 0))) AS v (name, value)
	UNION ALL
	SELECT 'freshness_seconds', gateway, '', '', '', finish, finish - t FROM newest WHERE t IS NOT NULL
	UNION ALL
	-- The ideal cycle in the configuration of a new database is 2 s.
	SELECT name, gateway, device, '', reason, finish, value
	FROM reported r JOIN seconds USING (gateway, device, finish) JOIN counts c USING (gateway, device, finish)
	LEFT JOIN failed USING (gateway, device, finish)
	CROSS JOIN LATERAL (VALUES
		(true, 'window_calendar_seconds', '', $3::numeric), (true, 'window_planned_seconds', '', $3::numeric),
		(r.state, 'window_busy_seconds', '', busy), (r.state, 'window_production_seconds', '', production),
		(r.state, 'window_idle_seconds', '', idle), (r.state, 'window_setup_seconds', '', setup),
		(r.state, 'window_down_seconds', 'fault', down), (r.state, 'window_unknown_seconds', '', $3::numeric - busy),
		(r.state, 'window_failures', '', coalesce(failures, 0))) AS v (has, name, reason, value)
	WHERE has
	UNION ALL
	SELECT name, gateway, device, '', '', finish, value
	FROM reported r JOIN seconds USING (gateway, device, finish) JOIN counts c USING (gateway, device, finish)
	CROSS JOIN LATERAL (VALUES
		(r.count, 'window_produced', produced), (r.good, 'window_good', c.good),
		(r.state AND r.all_count, 'window_ideal_seconds', 2 * busy_produced),
		(r.state AND r.all_count, 'window_performance_production_seconds', production),
		(r.all_count AND r.all_good, 'window_quality_produced', produced), (r.all_count AND r.all_good, 'window_quality_good', c.good),
		(r.all_count AND r.all_good, 'window_quality_ideal_seconds', 2 * produced),
		(r.all_count AND r.all_good, 'window_quality_good_ideal_seconds', 2 * c.good),
		(r.state AND r.all_count AND r.all_good, 'window_oee_good_ideal_seconds', 2 * busy_good),
		(r.state AND r.all_count AND r.all_good, 'window_oee_busy_seconds', busy)) AS v (has, name, value)
	WHERE has
	UNION ALL
	SELECT name, gateway, device, metric, '', finish, value
	FROM series_window
	CROSS JOIN LATERAL (VALUES ('series_samples', samples::float8), ('series_min', least), ('series_max', most), ('series_mean', mean), ('series_last', last)) AS v (name, value)
)
SELECT name, gateway, device, metric, reason, finish::bigint, value::float8 FROM sample WHERE finish <= $2::bigint
