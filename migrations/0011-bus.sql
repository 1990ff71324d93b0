-- Key that the processes of one fleet seal with what they tell each other over Redis; one row, see storage/bus-address.ts.
CREATE TABLE bus (key bytea NOT NULL);
-- 32 bytes, 244 of their bits random.
INSERT INTO bus VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
REVOKE ALL ON bus FROM PUBLIC;
