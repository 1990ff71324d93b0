-- Versions of the protocol adapters that have made rows: what a row says can be told from it long after.
CREATE TABLE decoders (
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  adapter text NOT NULL,
  version integer NOT NULL,
  UNIQUE (adapter, version)
);

-- The version that made the row. Null in rows from before this migration, since nothing tells their version; a column
-- that may be null is also added without touching them. No foreign key: it would cost a look-up a row, and ids are
-- never removed.
ALTER TABLE positions ADD COLUMN decoder smallint;
