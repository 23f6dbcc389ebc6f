-- What was delivered to the audit trail by an event bus, which delivers at least
-- once, and sometimes again after weeks: a delivery is one entry, for ever.
CREATE TABLE trail_delivery (
	id text PRIMARY KEY CHECK (id <> '' AND length(id) <= 128)
);
CREATE TRIGGER trail_delivery_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail_delivery
	FOR EACH STATEMENT EXECUTE FUNCTION trail_is_append_only();
