-- The time of a late anomaly moves back when older values of its excursion arrive later. Then
-- found_time is the one that it was found with, which identifies it; null for others.
ALTER TABLE anomaly ADD COLUMN found_time timestamptz;
DROP INDEX anomaly_identity;
CREATE UNIQUE INDEX anomaly_identity ON anomaly (device_id, coalesce(metric_id, 0), coalesce(found_time, time), kind, rule);
