-- The order in which positions and events were committed: what the stream's cursors count by.

-- Number of the transaction that stored a row, given to it before it began; see `batches` for its place in the order.
-- Rows from before this migration have none, and no cursor leads to them.
ALTER TABLE positions ADD COLUMN batch bigint;

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
  fix_to timestamptz,
  -- Where its positions are found by their primary key: of each device, spans of fix time, ends included. Others' rows
  -- may lie in between. An index of `batch` would make a row of ingest a quarter dearer; these and the column make it 4 %.
  devices integer[] NOT NULL,
  from_us bigint[] NOT NULL,
  to_us bigint[] NOT NULL
);
-- Compressing them takes longer than writing them.
ALTER TABLE batches ALTER devices SET STORAGE EXTERNAL, ALTER from_us SET STORAGE EXTERNAL, ALTER to_us SET STORAGE EXTERNAL;
CREATE SEQUENCE batch_sequence;

-- A time as the spans of `batches` have it, µs since 2000, and back.
CREATE FUNCTION span_us(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE
  RETURN (extract(epoch FROM at - timestamptz '2000-01-01 00:00:00Z') * 1000000)::bigint;
CREATE FUNCTION span_time(us bigint) RETURNS timestamptz LANGUAGE sql STABLE
  RETURN timestamptz '2000-01-01 00:00:00Z' + us * interval '1 microsecond';

-- Events that a transaction stored, as they were then: json array of geofence_event_json.
CREATE TABLE batch_events (
  batch bigint PRIMARY KEY,
  event_count integer NOT NULL,
  events json NOT NULL
);

-- Keeps the events of a transaction for its place in the order. Returns them.
CREATE FUNCTION keep_batch_events(batch bigint, events json) RETURNS json
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  IF json_array_length(events) > 0 THEN
    INSERT INTO batch_events VALUES (batch, json_array_length(events), events);
  END IF;
  RETURN events;
END $$;

-- Last statement of a transaction that stored something: takes its place in the order. The lock is held until the commit
-- is visible, so that the order of the numbers is that of the commits.
CREATE FUNCTION commit_batch(
  batch bigint, position_count integer, devices integer[], from_us bigint[], to_us bigint[])
  RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  event_count integer := coalesce((SELECT e.event_count FROM batch_events e WHERE e.batch = commit_batch.batch), 0);
  fix_from timestamptz := span_time((SELECT min(us) FROM unnest(from_us) AS us));
  fix_to timestamptz := span_time((SELECT max(us) FROM unnest(to_us) AS us));
  place bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(7236174001);
  place := nextval('batch_sequence');
  INSERT INTO batches VALUES (place, batch, clock_timestamp(), position_count, event_count, fix_from, fix_to,
    coalesce(devices, '{}'), coalesce(from_us, '{}'), coalesce(to_us, '{}'));
  RETURN place;
END $$;

-- The same for a transaction that stored events only, which it keeps.
CREATE FUNCTION commit_events(events json) RETURNS bigint
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  number bigint := nextval('batch_numbers');
BEGIN
  PERFORM keep_batch_events(number, events);
  RETURN commit_batch(number, 0, '{}', '{}', '{}');
END $$;

-- Forgets what was committed before a time; the last commit stays, since the order goes on behind it. So much at once,
-- lest who stores waits. Returns how many were forgotten.
CREATE FUNCTION forget_batches(before timestamptz, row_limit integer) RETURNS integer
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  last bigint;
  forgotten integer;
BEGIN
  -- `stored_at` grows with `sequence`, but for steps of the clock.
  SELECT max(b.sequence) INTO last FROM (
    SELECT o.sequence, o.stored_at FROM batches o ORDER BY o.sequence LIMIT row_limit) b
  WHERE b.stored_at < before AND b.sequence < (SELECT max(n.sequence) FROM batches n);
  WITH gone AS (DELETE FROM batches b WHERE b.sequence <= last RETURNING b.batch),
    events_gone AS (DELETE FROM batch_events e USING gone g WHERE e.batch = g.batch)
  SELECT count(*) INTO forgotten FROM gone;
  RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION keep_batch_events, commit_batch, commit_events, forget_batches FROM PUBLIC;
REVOKE ALL ON batches, batch_events FROM PUBLIC;
