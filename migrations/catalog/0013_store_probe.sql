-- What a store can really do is found out when it is added (a server may take a condition and ignore it), and how its secret
-- is asked for. Never the secret itself.
ALTER TABLE stores ADD COLUMN password_command TEXT;
ALTER TABLE stores ADD COLUMN probe TEXT CHECK (probe IS NULL OR json_valid(probe));
ALTER TABLE stores ADD COLUMN probed_at INTEGER;
