-- Doors to history: where devices were at a time, and the track of one. Rows are those of devices that the transaction's
-- tenant sees. Statements are planned with their arguments (EXECUTE): which days are asked for decides on the plan.

-- Last undoubted position of each of some devices at or before a time. Goes back window by window, as last_positions does.
CREATE FUNCTION positions_at(at timestamptz, device_ids integer[])
  RETURNS SETOF positions
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
  wanted integer[] := ARRAY(
    SELECT d.id FROM devices d WHERE d.id = ANY (device_ids) AND app_sees(d.organization_id) AND app_drives(d.id));
  found positions[];
  window_start timestamptz;
  window_end timestamptz := at + interval '1 microsecond';
BEGIN
  FOREACH window_start IN ARRAY ARRAY[at - interval '1 day', at - interval '8 days', at - interval '64 days', '-infinity']
  LOOP
    EXIT WHEN cardinality(wanted) = 0;
    EXECUTE '
      SELECT coalesce(array_agg(last.position), ''{}'') FROM unnest($1) AS device (id)
      CROSS JOIN LATERAL (
        SELECT p FROM positions p
        WHERE p.device_id = device.id AND p.quality = 0 AND p.latitude IS NOT NULL
          AND p.fix_time >= $2 AND p.fix_time < $3
        ORDER BY p.fix_time DESC, p.digest DESC LIMIT 1) AS last (position)'
    INTO found USING wanted, window_start, window_end;
    RETURN QUERY SELECT * FROM unnest(found);
    wanted := ARRAY(SELECT unnest(wanted) EXCEPT SELECT device_id FROM unnest(found));
    window_end := window_start;
  END LOOP;
END $$;

-- Undoubted fixes of a device by time, those after a key: microseconds since 1970 and digest.
CREATE FUNCTION device_track(
  device integer, from_time timestamptz, to_time timestamptz, after_us bigint, after_digest bigint, row_limit integer)
  RETURNS TABLE (
    fix_us bigint, digest bigint, received_us bigint, latitude double precision, longitude double precision,
    altitude_m real, speed_kmh real, course_deg real, accuracy_m real, hdop real, satellites smallint)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
DECLARE
  after_time timestamptz := timestamptz 'epoch' + after_us * interval '1 microsecond';
BEGIN
  IF NOT EXISTS (SELECT FROM devices d WHERE d.id = device AND app_sees(d.organization_id) AND app_drives(d.id)) THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE '
    SELECT (extract(epoch FROM p.fix_time) * 1000000)::bigint, p.digest,
      (extract(epoch FROM p.received_at) * 1000000)::bigint, p.latitude, p.longitude,
      p.altitude_m, p.speed_kmh, p.course_deg, p.accuracy_m, p.hdop, p.satellites
    FROM positions p
    WHERE p.device_id = $1 AND p.fix_time >= greatest($2, $4) AND p.fix_time < $3
      AND p.quality = 0 AND p.latitude IS NOT NULL
      AND ($4::timestamptz IS NULL OR (p.fix_time, p.digest) > ($4, $5))
    ORDER BY p.fix_time, p.digest LIMIT $6'
  USING device, from_time, to_time, after_time, after_digest, least(row_limit, 10000);
END $$;

REVOKE ALL ON FUNCTION positions_at, device_track FROM PUBLIC;
GRANT EXECUTE ON FUNCTION positions_at, device_track TO fleetflow_api;
