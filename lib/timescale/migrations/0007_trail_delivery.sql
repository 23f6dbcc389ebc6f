-- Events that an event bus delivered to the audit trail. The bus delivers at least
-- once, and may redeliver after weeks: the ids are stored for ever, so that each event
-- is one entry.
CREATE TABLE trail_delivery (
	id text PRIMARY KEY CHECK (id <> '' AND length(id) <= 128)
);
CREATE TRIGGER trail_delivery_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_delivery
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_append_only();
