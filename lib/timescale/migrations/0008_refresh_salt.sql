-- A repetition of a refresh token within seconds gets the same successor, which is derived
-- from the token and this salt: the successor itself is never stored. Null before the token
-- is used, and again once its successor was used.
ALTER TABLE refresh_token ADD COLUMN successor_salt bytea CHECK (octet_length(successor_salt) = 32);
