-- A rule for silence may name a device or metric that never reported, by a typing error for
-- example. Its alarm needs their rows; they are not listed, and do not count, until an event comes.
ALTER TABLE device ADD COLUMN reported bool NOT NULL DEFAULT true;
ALTER TABLE metric ADD COLUMN reported bool NOT NULL DEFAULT true;
COMMENT ON COLUMN device.reported IS 'False: only an alarm has the name.';
COMMENT ON COLUMN metric.reported IS 'False: only an alarm has the name.';
