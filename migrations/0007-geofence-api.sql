-- Where devices are now, and what the API asks of geofences and events.

-- Last undoubted fix of each device, written by the shards at most once a second. Nothing but the key is indexed, and
-- pages have room for a second row of each device, so that an update stays in its page and touches no index.
CREATE TABLE last_fixes (
  device_id integer PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
  fix_time timestamptz NOT NULL,
  latitude double precision NOT NULL,
  longitude double precision NOT NULL
) WITH (fillfactor = 45);

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

-- Groups that rules of a geofence name: they are of its organisation, and cannot be deleted meanwhile. Deferred, since
-- an organisation is deleted with all of them, in any order.
CREATE TABLE geofence_groups (
  organization_id integer NOT NULL,
  geofence_id integer NOT NULL REFERENCES geofences ON DELETE CASCADE,
  group_id integer NOT NULL,
  PRIMARY KEY (geofence_id, group_id),
  FOREIGN KEY (organization_id, group_id) REFERENCES device_groups (organization_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX geofence_groups_group ON geofence_groups (group_id, geofence_id);

CREATE FUNCTION note_geofence_groups() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    DELETE FROM geofence_groups WHERE geofence_id IN (SELECT id FROM changed);
  END IF;
  INSERT INTO geofence_groups (organization_id, geofence_id, group_id)
    SELECT DISTINCT c.organization_id, c.id, (rule ->> 'group')::integer
    FROM changed c, jsonb_array_elements(c.rules) rule WHERE rule ->> 'group' IS NOT NULL;
  RETURN NULL;
END $$;
CREATE TRIGGER geofences_groups_inserted AFTER INSERT ON geofences REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_geofence_groups();
CREATE TRIGGER geofences_groups_updated AFTER UPDATE ON geofences REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION note_geofence_groups();
-- Of geofences that were there before.
INSERT INTO geofence_groups (organization_id, geofence_id, group_id)
  SELECT DISTINCT g.organization_id, g.id, (rule ->> 'group')::integer
  FROM geofences g, jsonb_array_elements(g.rules) rule WHERE rule ->> 'group' IS NOT NULL;

ALTER TABLE geofence_groups ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON geofence_groups FOR SELECT TO fleetflow_api USING (app_sees(organization_id));
GRANT SELECT ON geofence_groups TO fleetflow_api;

-- Boxes of geofences by organisation. East of the antimeridian where they cross it: up to 540 degrees.
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE FUNCTION degree_box(west double precision, south double precision, east double precision, north double precision)
  RETURNS box LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
  RETURN box(point(west, south), point(CASE WHEN west > east THEN east + 360 ELSE east END, north));
CREATE INDEX geofences_box ON geofences USING gist (organization_id, degree_box(west, south, east, north));

-- Doors to geofences, which filter by operators that row-level security keeps from using an index. All statements
-- below are planned with their arguments (EXECUTE): which filters are given decides on the index.

-- By id. Those of one organisation, or of all for a super admin who names none.
CREATE FUNCTION find_geofences(
  organization integer, name_part text,
  west double precision, south double precision, east double precision, north double precision,
  after_id integer, row_limit integer)
  RETURNS SETOF geofences
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wanted box := degree_box(west, south, east, north);
  -- More than these are met soon enough by going through all of them in order.
  few CONSTANT integer := 5000;
  ids integer[];
BEGIN
  IF organization IS NULL AND current_setting('app.role', true) = 'super-admin' THEN
    NULL;
  ELSIF app_sees(organization) IS NOT TRUE THEN
    RETURN;
  END IF;
  IF wanted IS NOT NULL THEN
    EXECUTE '
      SELECT array_agg(id) FROM (
        SELECT id FROM geofences WHERE ($1::integer IS NULL OR organization_id = $1)
          AND (degree_box(west, south, east, north) && $2 OR degree_box(west, south, east, north) && $3
            OR degree_box(west, south, east, north) && $4) LIMIT $5) found'
    INTO ids USING organization, wanted, wanted + point(360, 0), wanted - point(360, 0), few;
    IF cardinality(ids) < few OR ids IS NULL THEN
      wanted := NULL;
      ids := coalesce(ids, '{}');
    ELSE
      ids := NULL;
    END IF;
  END IF;
  RETURN QUERY EXECUTE '
    SELECT * FROM geofences WHERE ($1::integer IS NULL OR organization_id = $1) AND id > $2
      AND ($3::text IS NULL OR strpos(lower(name), lower($3)) > 0)
      AND ($4::integer[] IS NULL OR id = ANY ($4))
      AND ($5::box IS NULL OR degree_box(west, south, east, north) && $5
        OR degree_box(west, south, east, north) && $6 OR degree_box(west, south, east, north) && $7)
    ORDER BY id LIMIT $8'
  USING organization, after_id, name_part, ids, wanted, wanted + point(360, 0), wanted - point(360, 0),
    least(row_limit, 1000);
END $$;

-- How many geofences an organisation has, counted up to a limit.
CREATE FUNCTION count_geofences(organization integer, row_limit integer) RETURNS integer
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF app_sees(organization) IS NOT TRUE THEN
    RETURN 0;
  END IF;
  RETURN (SELECT count(*) FROM (SELECT FROM geofences WHERE organization_id = organization LIMIT row_limit) found);
END $$;

-- How many geofences of an organisation have a box with a place in it, for each of some places, in their order; counted up
-- to a limit. `but` is left out.
CREATE FUNCTION count_overlaps(
  organization integer, longitudes double precision[], latitudes double precision[], but integer, row_limit integer)
  RETURNS SETOF integer
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF app_sees(organization) IS NOT TRUE THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE '
    SELECT (SELECT count(*) FROM (
        SELECT id FROM geofences WHERE organization_id = $1
          AND degree_box(west, south, east, north) @> box(point(longitude, latitude), point(longitude, latitude))
          AND id IS DISTINCT FROM $4
        UNION ALL
        SELECT id FROM geofences WHERE organization_id = $1
          AND degree_box(west, south, east, north) @> box(point(longitude + 360, latitude), point(longitude + 360, latitude))
          AND id IS DISTINCT FROM $4
        LIMIT $5) found)::integer
    FROM unnest($2, $3) WITH ORDINALITY AS place (longitude, latitude, number) ORDER BY number'
  USING organization, longitudes, latitudes, but, row_limit;
END $$;

-- Door to events, the newest first. Those of one organisation, or of all for a super admin who names none.
CREATE FUNCTION find_events(
  organization integer, only_device integer, only_geofence integer, only_type text,
  from_time timestamptz, to_time timestamptz, with_history boolean,
  before_time timestamptz, before_id bigint, row_limit integer)
  RETURNS SETOF events
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
  IF current_setting('app.role', true) IS DISTINCT FROM 'super-admin' THEN
    organization := nullif(current_setting('app.organization_id', true), '')::integer;
    IF organization IS NULL THEN
      RETURN;
    END IF;
  END IF;
  RETURN QUERY EXECUTE '
    SELECT * FROM events
    WHERE ($1::integer IS NULL OR organization_id = $1)
      AND ($2::integer IS NULL OR device_id = $2) AND ($3::integer IS NULL OR geofence_id = $3)
      AND ($4::text IS NULL OR type = $4)
      AND event_time >= $5 AND event_time < $6 AND ($7 OR NOT superseded AND NOT retracted)
      AND ($8::timestamptz IS NULL OR event_time <= $8 AND (event_time, id) < ($8, $9))
    ORDER BY event_time DESC, id DESC LIMIT $10'
  USING organization, only_device, only_geofence, only_type, from_time, to_time, with_history,
    before_time, before_id, least(row_limit, 1000);
END $$;

-- Doors to last fixes and positions. Rows are those of devices that the transaction's tenant sees.

-- Organisations that the tenant sees, so that an index can be asked for their rows.
CREATE FUNCTION app_organizations() RETURNS integer[] LANGUAGE sql STABLE
  RETURN CASE WHEN current_setting('app.role', true) = 'super-admin' THEN ARRAY(SELECT id FROM organizations)
    ELSE array_remove(ARRAY[nullif(current_setting('app.organization_id', true), '')::integer], NULL) END;

-- The devices whose last fix is nearest to a place, by distance on the sphere of 6,371,008.8 m; the nearest first.
CREATE FUNCTION nearest_devices(
  at_latitude double precision, at_longitude double precision, max_distance_m double precision, row_limit integer)
  RETURNS TABLE (
    device_id integer, fix_time timestamptz, latitude double precision, longitude double precision,
    distance_m double precision)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
  SELECT * FROM (
    SELECT l.device_id, l.fix_time, l.latitude, l.longitude,
      2 * 6371008.8 * asin(least(1, sqrt(
        sin(radians(l.latitude - at_latitude) / 2) ^ 2
        + cos(radians(at_latitude)) * cos(radians(l.latitude)) * sin(radians(l.longitude - at_longitude) / 2) ^ 2
      ))) AS distance
    FROM devices d JOIN last_fixes l ON l.device_id = d.id
    WHERE d.organization_id = ANY (app_organizations())
      -- A degree of latitude is 111,195 m.
      AND (max_distance_m IS NULL OR abs(l.latitude - at_latitude) <= max_distance_m / 111000)
  ) found
  WHERE max_distance_m IS NULL OR distance <= max_distance_m
  ORDER BY distance, device_id
  LIMIT least(row_limit, 1000)
$$;

-- Last fixes in a box, by id of the device; west > east where it crosses the antimeridian.
CREATE FUNCTION last_fixes_in_box(
  west double precision, south double precision, east double precision, north double precision,
  after_device integer, row_limit integer)
  RETURNS SETOF last_fixes
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
  SELECT l.* FROM devices d JOIN last_fixes l ON l.device_id = d.id
  WHERE d.organization_id = ANY (app_organizations()) AND d.id > after_device
    AND l.latitude BETWEEN south AND north
    AND CASE WHEN west <= east THEN l.longitude BETWEEN west AND east ELSE l.longitude >= west OR l.longitude <= east END
  ORDER BY d.id
  LIMIT least(row_limit, 10000)
$$;

-- Undoubted fixes in a box, the first `row_limit` of each device by time; of one device alone also those after a fix.
CREATE FUNCTION fixes_in_box(
  device_ids integer[], from_time timestamptz, to_time timestamptz,
  west double precision, south double precision, east double precision, north double precision,
  after_time timestamptz, after_digest bigint, row_limit integer)
  RETURNS TABLE (
    device_id integer, fix_time timestamptz, digest bigint, latitude double precision, longitude double precision)
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET jit = off AS $$
BEGIN
  RETURN QUERY EXECUTE '
    SELECT d.id, p.fix_time, p.digest, p.latitude, p.longitude FROM devices d CROSS JOIN LATERAL (
      SELECT * FROM positions p
      WHERE p.device_id = d.id AND p.quality = 0 AND p.fix_time >= $2 AND p.fix_time < $3
        AND p.latitude BETWEEN $5 AND $7
        AND CASE WHEN $4 <= $6 THEN p.longitude BETWEEN $4 AND $6 ELSE p.longitude >= $4 OR p.longitude <= $6 END
        AND ($8::timestamptz IS NULL OR p.fix_time >= $8 AND (p.fix_time, p.digest) > ($8, $9))
      ORDER BY p.fix_time, p.digest LIMIT $10) p
    WHERE d.id = ANY ($1) AND d.organization_id = ANY (app_organizations())
    ORDER BY d.id, p.fix_time, p.digest'
  USING device_ids, from_time, to_time, west, south, east, north, after_time, after_digest, least(row_limit, 10000);
END $$;

REVOKE ALL ON FUNCTION note_geofence_groups, find_geofences, count_geofences, count_overlaps, find_events, app_organizations,
  nearest_devices, last_fixes_in_box, fixes_in_box FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_geofences, count_geofences, count_overlaps, find_events, nearest_devices, last_fixes_in_box, fixes_in_box
  TO fleetflow_api;
