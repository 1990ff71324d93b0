-- Where devices are now, and what the API asks of geofences and events.

-- Last undoubted fix of each device, written by the shards at most once a second. Nothing but the key is indexed, and
-- pages have room, so that an update stays in its page and touches no index.
CREATE TABLE last_fixes (
  device_id integer PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
  fix_time timestamptz NOT NULL,
  latitude double precision NOT NULL,
  longitude double precision NOT NULL
) WITH (fillfactor = 70);

-- Brings those of some devices up to what is stored, and says how many were behind.
CREATE FUNCTION refresh_last_fixes(device_ids integer[]) RETURNS integer
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  changed integer;
BEGIN
  INSERT INTO last_fixes AS l
    SELECT d.id, found.fix_time, found.latitude, found.longitude
    FROM devices d LEFT JOIN last_fixes before ON before.device_id = d.id
    CROSS JOIN LATERAL (
      -- Days before the fix that is known need not be looked at.
      SELECT * FROM (
        SELECT p.fix_time, p.latitude, p.longitude FROM positions p
        WHERE p.device_id = d.id AND p.quality = 0 AND p.fix_time > before.fix_time
        ORDER BY p.fix_time DESC LIMIT 1) newer
      UNION ALL
      SELECT p.fix_time, p.latitude, p.longitude FROM last_position(d.id) p WHERE before.fix_time IS NULL) found
    WHERE d.id = ANY (device_ids)
    ORDER BY d.id
  ON CONFLICT (device_id) DO UPDATE
    SET fix_time = excluded.fix_time, latitude = excluded.latitude, longitude = excluded.longitude
    WHERE excluded.fix_time > l.fix_time;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END $$;
REVOKE ALL ON FUNCTION refresh_last_fixes FROM PUBLIC;
