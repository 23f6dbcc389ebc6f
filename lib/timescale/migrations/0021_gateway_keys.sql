-- A key may be registered at several sites: that it is taken at another one is that site's
-- business. It authenticates one gateway, by whose name the keys are looked up.
ALTER TABLE gateway_key DROP CONSTRAINT gateway_key_pkey, ADD PRIMARY KEY (gateway_id, kid);
DROP INDEX gateway_key_gateway;
CREATE INDEX gateway_key_kid ON gateway_key (kid);
