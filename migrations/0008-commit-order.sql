-- The order in which positions and events were committed: what the stream's cursors count by.

-- Number of the transaction that stored a row, given to it before it began; see `batches` for its place in the order.
-- Rows from before this migration have none, and no cursor leads to them.
ALTER TABLE positions ADD COLUMN batch bigint;
ALTER TABLE events ADD COLUMN batch bigint;

-- Numbers for `batch`, reserved by writers in blocks: a row has to carry its number before it is known when it commits.
CREATE SEQUENCE batch_numbers INCREMENT 64;

-- Transactions that stored positions or events, in the order in which they committed: `sequence` only grows, and when one
-- is seen, all before it are, too. Numbers that are not there were of transactions that failed in their last step.
CREATE TABLE batches (
  sequence bigint PRIMARY KEY,
  batch bigint NOT NULL,
  stored_at timestamptz NOT NULL,
  position_count integer NOT NULL,
  event_count integer NOT NULL,
  -- Least and greatest fix time of its positions, so that few days have to be looked into; null without positions.
  fix_from timestamptz,
  fix_to timestamptz
);
CREATE SEQUENCE batch_sequence;

-- Last statement of a transaction that stored something: takes its place in the order. The lock is held until the commit
-- is visible, so that the order of the numbers is that of the commits.
CREATE FUNCTION commit_batch(
  batch bigint, position_count integer, event_count integer, fix_from timestamptz, fix_to timestamptz)
  RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  place bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7236174001);
  place := nextval('batch_sequence');
  INSERT INTO batches VALUES (place, batch, clock_timestamp(), position_count, event_count, fix_from, fix_to);
  RETURN place;
END $$;
REVOKE ALL ON FUNCTION commit_batch FROM PUBLIC;
REVOKE ALL ON batches FROM PUBLIC;
