-- Readings without a value: a sensor that failed reports a bad quality and no value. The
-- table event has NaN there, so that a row has one length.
CREATE OR REPLACE VIEW reading AS
SELECT event.time, gateway.site, gateway.name AS gateway, device.name AS device, metric.name AS metric,
	nullif(event.value, 'NaN') AS value,
	CASE event.quality WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' WHEN 2 THEN 'bad' ELSE 'invalid' END AS quality
FROM event
JOIN device ON device.id = event.device_id
JOIN metric ON metric.id = event.metric_id
JOIN gateway ON gateway.id = device.gateway_id;
