-- What replays of the stream read: all devices of a time, in the order of the time.

-- The key serves few devices; many at once are read by the time alone. Rows come late, and a day's partition has not been
-- vacuumed while it is written to: a BRIN would have to be looked after, and answers no "which is the next".
CREATE INDEX positions_fix_time ON positions (fix_time);

-- Door to positions. Rows are those of devices that the transaction's tenant sees, which are looked up in a hash table. A
-- view, since a function would gather all its rows before it gave the first; and a barrier, so that no condition sees a
-- row before it is known whose it is. None of a driver's: whoever replays for a driver names the devices.
CREATE VIEW replayed_positions WITH (security_barrier) AS
  SELECT p.* FROM positions p
  WHERE (p.device_id IN (
    SELECT d.id FROM devices d
    WHERE (SELECT current_setting('app.role', true)) = 'super-admin'
      OR (SELECT current_setting('app.role', true)) <> 'driver'
        AND d.organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::integer))) IS TRUE;

-- Fix time of the first undoubted position with a place; of all devices that the tenant sees when device_ids is null. None
-- of a driver's, as above. Goes on in steps that grow, so that neither a full day nor an empty year takes long.
CREATE FUNCTION next_replayed_time(device_ids integer[], from_time timestamptz, to_time timestamptz)
  RETURNS timestamptz
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
  step interval := interval '1 hour';
  step_start timestamptz := from_time;
  step_end timestamptz;
  found_time timestamptz;
BEGIN
  WHILE step_start < to_time AND current_setting('app.role', true) <> 'driver' LOOP
    step_end := least(step_start + step, to_time);
    IF device_ids IS NULL THEN
      EXECUTE '
        SELECT p.fix_time FROM positions p
        WHERE p.fix_time >= $1 AND p.fix_time < $2 AND p.quality = 0 AND p.latitude IS NOT NULL
          AND (SELECT app_sees(d.organization_id) FROM devices d WHERE d.id = p.device_id)
        ORDER BY p.fix_time LIMIT 1'
      INTO found_time USING step_start, step_end;
    ELSE
      EXECUTE '
        SELECT min(first.fix_time) FROM devices d CROSS JOIN LATERAL (
          SELECT p.fix_time FROM positions p
          WHERE p.device_id = d.id AND p.fix_time >= $1 AND p.fix_time < $2 AND p.quality = 0 AND p.latitude IS NOT NULL
          ORDER BY p.fix_time LIMIT 1) AS first
        WHERE d.id = ANY ($3) AND app_sees(d.organization_id)'
      INTO found_time USING step_start, step_end, device_ids;
    END IF;
    EXIT WHEN found_time IS NOT NULL;
    step_start := step_end;
    step := least(step * 4, interval '64 days');
  END LOOP;
  RETURN found_time;
END $$;

-- Current events in the order of their time and id; of all devices when device_ids is null.
CREATE FUNCTION replayed_events(
  device_ids integer[], from_time timestamptz, to_time timestamptz,
  after_time timestamptz, after_id bigint, row_limit integer)
  RETURNS SETOF events
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
  RETURN QUERY EXECUTE '
    SELECT * FROM events
    WHERE organization_id = ANY ($1) AND event_time >= $2 AND event_time < $3 AND NOT superseded AND NOT retracted
      AND ($4::integer[] IS NULL OR device_id = ANY ($4))
      AND ($5::timestamptz IS NULL OR (event_time, id) > ($5, $6))
    ORDER BY event_time, id LIMIT $7'
  USING app_organizations(), from_time, to_time, device_ids, after_time, after_id, least(row_limit, 10000);
END $$;

-- Place in the order of commits up to which the transaction sees everything; 0 at first.
CREATE FUNCTION stream_head() RETURNS bigint
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT coalesce(max(sequence), 0) FROM batches
$$;

REVOKE ALL ON FUNCTION next_replayed_time, replayed_events, stream_head FROM PUBLIC;
GRANT EXECUTE ON FUNCTION next_replayed_time, replayed_events, stream_head TO fleetflow_api;
GRANT SELECT ON replayed_positions TO fleetflow_api;
