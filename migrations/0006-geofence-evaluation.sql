-- What evaluates geofences: who has which device, visits and events stored with positions, and the work of timers. These
-- functions are for ingest, which has no tenant; the API's role may call none of them.

-- One who evaluates devices: a shard from its start to its end, or a run of a backfill.
CREATE SEQUENCE geofence_owners_owner AS integer;

-- Who evaluates a device. Its state is in their memory: what they store of it builds on what they stored before.
CREATE TABLE geofence_owners (
  device_id integer PRIMARY KEY REFERENCES devices ON DELETE CASCADE,
  owner integer NOT NULL
);

-- How often another took devices from an owner; no row = never.
CREATE TABLE geofence_owner_losses (
  owner integer PRIMARY KEY,
  losses integer NOT NULL
);

-- Held shared while an owner stores, and alone while devices are taken from them.
CREATE FUNCTION geofence_owner_lock() RETURNS integer LANGUAGE sql IMMUTABLE
  RETURN hashtext('fleetflow geofence owner');

-- Takes devices over. What their owners have on its way is stored when this returns, and nothing after it. Rows and locks
-- are taken in the order of their numbers: two who claim the same devices wait, and do not deadlock.
CREATE FUNCTION geofence_claim(claimant integer, ids integer[]) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  losers integer[];
  loser integer;
BEGIN
  INSERT INTO geofence_owners (device_id, owner)
    SELECT d.id, claimant FROM devices d
    WHERE d.id = ANY (ids) AND NOT EXISTS (SELECT FROM geofence_owners o WHERE o.device_id = d.id)
    ORDER BY d.id FOR KEY SHARE
    ON CONFLICT DO NOTHING;
  losers := ARRAY(
    SELECT DISTINCT held.owner FROM (
      SELECT o.owner FROM geofence_owners o
      WHERE o.device_id = ANY (ids) AND o.owner <> claimant ORDER BY o.device_id FOR UPDATE) held
    ORDER BY 1);
  FOREACH loser IN ARRAY losers LOOP
    PERFORM pg_advisory_xact_lock(geofence_owner_lock(), loser);
    INSERT INTO geofence_owner_losses AS l (owner, losses) VALUES (loser, 1)
      ON CONFLICT (owner) DO UPDATE SET losses = l.losses + 1;
  END LOOP;
  UPDATE geofence_owners SET owner = claimant WHERE device_id = ANY (ids) AND owner <> claimant;
END $$;

-- Before an owner stores: fails with FF002 where devices were taken from them that they do not know of.
CREATE FUNCTION geofence_guard(storing integer, known_losses integer) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(geofence_owner_lock(), storing);
  IF coalesce((SELECT l.losses FROM geofence_owner_losses l WHERE l.owner = storing), 0) <> known_losses THEN
    RAISE EXCEPTION 'devices of owner % were taken over', storing USING ERRCODE = 'FF002';
  END IF;
END $$;

-- Times of day of `insideBy`, a row for each rule that has one.
CREATE TABLE geofence_instants (
  geofence_id integer NOT NULL REFERENCES geofences ON DELETE CASCADE,
  -- Of the rule in the geofence, from 0.
  rule integer NOT NULL,
  -- What was due until then was looked at, or is from before the rule.
  done_until timestamptz NOT NULL DEFAULT now(),
  -- -infinity: to be worked out.
  next_due timestamptz NOT NULL DEFAULT '-infinity',
  -- The last moment of which events may have been made, and the last device of it that is done while others are not.
  fired_at timestamptz,
  done_device integer NOT NULL DEFAULT 0,
  PRIMARY KEY (geofence_id, rule)
);
CREATE INDEX geofence_instants_due ON geofence_instants (next_due);

-- A geofence that was edited: what its timers wait for is worked out anew, and a disabled one watches nothing more.
CREATE FUNCTION settle_geofence() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  IF NEW.disabled THEN
    UPDATE geofence_visits SET exited_at = coalesce(exited_at, greatest(now(), entered_at)), due_at = NULL
    WHERE geofence_id = NEW.id AND (exited_at IS NULL OR due_at IS NOT NULL);
  ELSIF (NEW.rules, NEW.time_zone) IS DISTINCT FROM (OLD.rules, OLD.time_zone) THEN
    UPDATE geofence_visits SET due_at = now() WHERE geofence_id = NEW.id AND exited_at IS NULL;
    -- Of devices that are outside the last visit; no rule waits longer than 30 days.
    UPDATE geofence_visits v SET due_at = now()
    WHERE NEW.rules @? '$[*].absenceS ? (@ != null)'
      AND v.geofence_id = NEW.id AND v.exited_at > now() - interval '31 days'
      AND NOT EXISTS (SELECT FROM geofence_visits later WHERE later.device_id = v.device_id
        AND later.geofence_id = v.geofence_id AND later.entered_at > v.entered_at);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER geofences_settled AFTER UPDATE ON geofences
  FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION settle_geofence();

-- Keeps geofence_instants. A time of day that stays as it was goes on where it was.
CREATE FUNCTION plan_geofence_instants() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  DELETE FROM geofence_instants i WHERE i.geofence_id = NEW.id
    AND (NEW.disabled OR jsonb_typeof(NEW.rules -> i.rule -> 'insideBy') IS DISTINCT FROM 'object');
  INSERT INTO geofence_instants AS i (geofence_id, rule)
    SELECT NEW.id, place - 1 FROM jsonb_array_elements(NEW.rules) WITH ORDINALITY AS r (rule, place)
    WHERE NOT NEW.disabled AND jsonb_typeof(r.rule -> 'insideBy') = 'object'
    ON CONFLICT (geofence_id, rule) DO UPDATE SET next_due = '-infinity', done_device = 0, done_until = CASE
      WHEN NEW.time_zone = OLD.time_zone AND NEW.rules -> i.rule -> 'insideBy' = OLD.rules -> i.rule -> 'insideBy'
      THEN i.done_until ELSE now() END;
  RETURN NULL;
END $$;
CREATE TRIGGER geofences_instants_added AFTER INSERT ON geofences
  FOR EACH ROW WHEN (NEW.rules @? '$[*].insideBy.time') EXECUTE FUNCTION plan_geofence_instants();
CREATE TRIGGER geofences_instants_edited AFTER UPDATE ON geofences
  FOR EACH ROW WHEN (NEW.version <> OLD.version AND (NEW.rules @? '$[*].insideBy.time' OR OLD.rules @? '$[*].insideBy.time'))
  EXECUTE FUNCTION plan_geofence_instants();

-- An event as ingest takes it: times are ms UTC.
CREATE FUNCTION geofence_event_json(e events) RETURNS json LANGUAGE sql STABLE
  RETURN json_build_object(
    'id', e.id, 'organizationId', e.organization_id, 'device', e.device_id, 'geofence', e.geofence_id,
    'geofenceVersion', e.geofence_version, 'type', e.type,
    'timeMs', (extract(epoch FROM e.event_time) * 1000)::double precision,
    'fixTimeMs', (extract(epoch FROM e.fix_time) * 1000)::double precision,
    'latitude', e.latitude, 'longitude', e.longitude, 'speed', e.speed_kmh, 'crossing', e.crossing,
    'revision', e.revision, 'replaces', e.replaces, 'retracted', e.retracted,
    'current', NOT e.superseded AND NOT e.retracted,
    'recordedAtMs', (extract(epoch FROM e.recorded_at) * 1000)::double precision);

-- Whether an event of a device and geofence holds that is of this type and lies in [from, to]. Planned with the
-- times at hand, so that other days cost nothing.
CREATE FUNCTION geofence_event_holds(
  device integer, geofence integer, type text, from_time timestamptz, to_time timestamptz) RETURNS boolean
  LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  holds boolean;
BEGIN
  EXECUTE 'SELECT EXISTS (SELECT FROM events e WHERE e.device_id = $1 AND e.geofence_id = $2 AND e.type = $3
    AND e.event_time >= $4 AND e.event_time <= $5 AND NOT e.superseded AND NOT e.retracted)'
    INTO holds USING device, geofence, type, from_time, to_time;
  RETURN holds;
END $$;

-- Where events of a type are in question. Of a visit that a timer made an event of: absence is after its end, dwell is not.
CREATE TYPE geofence_moment AS (
  device_id integer, geofence_id integer, type text, from_time timestamptz, to_time timestamptz);

-- Stores what an evaluation found, in the transaction of the positions. `fences` and `ids` are all geofences and devices
-- of the changes, which are as geofence/visits/changes.ts has them; `evaluated_at` is how far the evaluation reckoned with
-- timers. Returns the events that were stored.
--
-- Timers write beside it: they lock the visit of which they make an event, or the row of geofence_instants. What they
-- did that does not fit to the changes is found at the end, when all of these locks are held, and raised as FF001 with
-- the devices as detail, and as hint how far the timers have come, ms UTC: their clock may be ahead.
--
-- Each kind of change is null where there is none. Tables that grow from nothing are planned as if they were small until
-- they are analysed: without the settings, a thousand visits took three times as long then.
CREATE FUNCTION geofence_apply(
  fences integer[], ids integer[], evaluated_at timestamptz, opened json, changed json, removed json, made json)
  RETURNS json
  LANGUAGE plpgsql SET search_path = public, pg_temp SET plan_cache_mode = force_generic_plan
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  -- The last moment by which devices had to be inside of one of these geofences; null = none.
  instants_done timestamptz;
  -- Events of timers that must not hold any more: dwell and absence of one moment, missing of a time inside.
  spent geofence_moment[] := '{}';
  -- Those that hold on, though their visit has become another one.
  kept geofence_moment[] := '{}';
  inside geofence_moment[] := '{}';
  more geofence_moment[];
  more_inside geofence_moment[];
  doubtful integer[] := '{}';
  more_doubtful integer[];
  stored json;
  one record;
BEGIN
  -- Neither goes, nor is edited, before this is committed.
  PERFORM FROM geofences g WHERE g.id = ANY (fences) ORDER BY g.id FOR SHARE;
  PERFORM FROM devices d WHERE d.id = ANY (ids) ORDER BY d.id FOR KEY SHARE;
  SELECT max(i.fired_at) INTO instants_done FROM (
    SELECT t.fired_at FROM geofence_instants t WHERE t.geofence_id = ANY (fences)
    ORDER BY t.geofence_id, t.rule FOR SHARE) i;

  IF removed IS NOT NULL THEN
    WITH gone AS (
      DELETE FROM geofence_visits v
      USING json_to_recordset(removed) AS r (device integer, geofence integer, "enteredMs" double precision)
        JOIN geofences g ON g.id = r.geofence AND NOT g.disabled
      WHERE v.device_id = r.device AND v.geofence_id = r.geofence
        AND v.entered_at = to_timestamp(r."enteredMs" / 1000)
      RETURNING v.device_id, v.geofence_id, v.exited_at, v.fired_at)
    SELECT array_agg((device_id, geofence_id, CASE WHEN fired_at > exited_at THEN 'absence' ELSE 'dwell' END,
        fired_at, fired_at)::geofence_moment) FILTER (WHERE fired_at IS NOT NULL),
      array_agg(device_id) FILTER (WHERE evaluated_at < instants_done AND coalesce(exited_at > evaluated_at, true))
    INTO more, more_doubtful FROM gone;
    spent := spent || more;
    doubtful := doubtful || more_doubtful;
  END IF;

  IF changed IS NOT NULL THEN
    -- Locked by a statement of its own: the next one sees what a timer did until it was had.
    PERFORM FROM json_to_recordset(changed) AS c (device integer, geofence integer, "enteredMs" double precision)
      JOIN geofence_visits v ON v.device_id = c.device AND v.geofence_id = c.geofence
        AND v.entered_at = to_timestamp(c."enteredMs" / 1000)
      FOR UPDATE OF v;
    WITH done AS (
      UPDATE geofence_visits v
      SET exited_at = to_timestamp(c."exitedMs" / 1000), due_at = to_timestamp(c."dueMs" / 1000), version = c.version,
        fired_at = coalesce(to_timestamp(c."firedMs" / 1000), old.fired_at)
      FROM json_to_recordset(changed) AS c (device integer, geofence integer, version integer,
          "enteredMs" double precision, "exitedMs" double precision, "dueMs" double precision,
          "firedMs" double precision)
        JOIN geofence_visits old ON old.device_id = c.device AND old.geofence_id = c.geofence
          AND old.entered_at = to_timestamp(c."enteredMs" / 1000)
        JOIN geofences g ON g.id = c.geofence AND NOT g.disabled
      -- It is locked, and so does not move.
      WHERE v.ctid = old.ctid
      RETURNING v.device_id, v.geofence_id, v.exited_at, old.fired_at, old.exited_at AS was_exited_at)
    SELECT
      array_agg((device_id, geofence_id, CASE WHEN fired_at > was_exited_at THEN 'absence' ELSE 'dwell' END,
          fired_at, fired_at)::geofence_moment)
        FILTER (WHERE exited_at IS DISTINCT FROM was_exited_at AND (fired_at > exited_at OR fired_at > was_exited_at)),
      array_agg((device_id, geofence_id, 'missing', was_exited_at, exited_at)::geofence_moment)
        FILTER (WHERE was_exited_at <= instants_done AND coalesce(exited_at > was_exited_at, true)),
      -- A timer that was further than the evaluation took it for inside.
      array_agg(device_id) FILTER (WHERE evaluated_at < instants_done AND exited_at < instants_done
        AND coalesce(was_exited_at > evaluated_at, true))
    INTO more, more_inside, more_doubtful FROM done;
    spent := spent || more;
    doubtful := doubtful || more_doubtful;
    inside := inside || more_inside;
  END IF;

  IF opened IS NOT NULL THEN
    WITH o AS (
      SELECT c.device, c.geofence, c.version, to_timestamp(c."enteredMs" / 1000) AS entered_at,
        to_timestamp(c."exitedMs" / 1000) AS exited_at,
        -- By the rules before an edit: a timer works it out anew.
        CASE WHEN c.version < g.version THEN now() ELSE to_timestamp(c."dueMs" / 1000) END AS due_at,
        to_timestamp(c."firedMs" / 1000) AS fired_at
      FROM json_to_recordset(opened) AS c (device integer, geofence integer, version integer,
        "enteredMs" double precision, "exitedMs" double precision, "dueMs" double precision,
        "firedMs" double precision)
        JOIN geofences g ON g.id = c.geofence AND NOT g.disabled JOIN devices d ON d.id = c.device),
    done AS (
      INSERT INTO geofence_visits (device_id, geofence_id, entered_at, exited_at, version, due_at, fired_at)
      SELECT device, geofence, entered_at, exited_at, version, due_at, fired_at FROM o ORDER BY 1, 2, 3
      ON CONFLICT DO NOTHING RETURNING device_id, geofence_id, entered_at)
    SELECT
      (SELECT array_agg(conflict.device) FROM (
        SELECT device, geofence, entered_at FROM o EXCEPT SELECT * FROM done) conflict),
      (SELECT array_agg((o.device, o.geofence, 'missing', o.entered_at, o.exited_at)::geofence_moment)
        FROM o WHERE o.entered_at <= instants_done)
    INTO more_doubtful, more_inside;
    doubtful := doubtful || more_doubtful;
    inside := inside || more_inside;

    -- The absence after the visit before does not come to pass. One that is due earlier does, though it is not made yet.
    WITH before AS (
      SELECT p.device_id, p.geofence_id, p.entered_at, to_timestamp(c."enteredMs" / 1000) AS returned_at
      FROM json_to_recordset(opened) AS c (device integer, geofence integer, "enteredMs" double precision)
      JOIN geofences g ON g.id = c.geofence AND NOT g.disabled
      CROSS JOIN LATERAL (
        SELECT v.* FROM geofence_visits v
        WHERE v.device_id = c.device AND v.geofence_id = c.geofence
          AND v.entered_at < to_timestamp(c."enteredMs" / 1000)
        ORDER BY v.entered_at DESC LIMIT 1) p
      WHERE greatest(p.due_at, p.fired_at) > to_timestamp(c."enteredMs" / 1000)),
    done AS (
      UPDATE geofence_visits v SET due_at = CASE WHEN v.due_at <= b.returned_at THEN v.due_at END FROM before b
      WHERE v.device_id = b.device_id AND v.geofence_id = b.geofence_id AND v.entered_at = b.entered_at
      RETURNING v.device_id, v.geofence_id, v.fired_at, b.returned_at)
    SELECT array_agg((device_id, geofence_id, 'absence', fired_at, fired_at)::geofence_moment)
      FILTER (WHERE fired_at > returned_at) INTO more FROM done;
    spent := spent || more;
  END IF;

  IF made IS NOT NULL THEN
    FOR one IN
      SELECT e.device, e.geofence, e.type, e.replaces, to_timestamp(e."replacesTimeMs" / 1000) AS at
      FROM json_to_recordset(made) AS e
        (device integer, geofence integer, type text, replaces bigint, "replacesTimeMs" double precision)
        JOIN geofences g ON g.id = e.geofence AND NOT g.disabled JOIN devices d ON d.id = e.device
      WHERE e.replaces IS NOT NULL
    LOOP
      IF geofence_supersede(one.device, one.geofence, one.at, one.replaces) THEN
        -- It is as if no timer had made it.
        UPDATE geofence_visits SET fired_at = NULL
        WHERE one.type IN ('dwell', 'absence') AND device_id = one.device AND geofence_id = one.geofence
          AND fired_at = one.at;
      ELSE
        doubtful := doubtful || one.device;
      END IF;
    END LOOP;

    WITH e AS (
      SELECT c.*, g.organization_id, to_timestamp(c."timeMs" / 1000) AS event_time
      FROM json_to_recordset(made) AS c (device integer, geofence integer, version integer, type text,
          "timeMs" double precision, "fixTimeMs" double precision, "latitudeDeg" double precision,
          "longitudeDeg" double precision, "speedKmh" real, crossing boolean, revision integer, replaces bigint,
          retracted boolean)
        JOIN geofences g ON g.id = c.geofence AND NOT g.disabled JOIN devices d ON d.id = c.device
      -- A time of day that the timers have not come to yet is theirs: they see what else is stored until then.
      WHERE c.type <> 'missing' OR c.retracted
        OR NOT EXISTS (SELECT FROM geofence_instants i WHERE i.geofence_id = c.geofence)
        OR EXISTS (SELECT FROM geofence_instants i WHERE i.geofence_id = c.geofence
          AND (to_timestamp(c."timeMs" / 1000) <= i.done_until
            OR to_timestamp(c."timeMs" / 1000) <= i.fired_at AND c.device <= i.done_device))),
    done AS (
      INSERT INTO events (event_time, fix_time, latitude, longitude, replaces, device_id, geofence_id, geofence_version,
        organization_id, revision, speed_kmh, crossing, retracted, type)
      SELECT event_time, to_timestamp("fixTimeMs" / 1000), "latitudeDeg", "longitudeDeg", replaces, device, geofence,
        version, organization_id, revision, "speedKmh", crossing, retracted, type
      FROM e ORDER BY event_time, geofence, type
      ON CONFLICT DO NOTHING RETURNING *)
    SELECT (SELECT json_agg(geofence_event_json(d) ORDER BY d.id) FROM done d),
      -- A timer may have been first.
      ARRAY(SELECT conflict.device FROM (
          SELECT device, event_time, geofence, type, revision FROM e
          EXCEPT SELECT device_id, event_time, geofence_id, type, revision FROM done) conflict
        WHERE NOT (conflict.revision = 0 AND conflict.type IN ('dwell', 'absence', 'missing')
          AND geofence_event_holds(conflict.device, conflict.geofence, conflict.type,
            conflict.event_time, conflict.event_time)))
    INTO stored, more_doubtful;
    doubtful := doubtful || more_doubtful;
  END IF;

  IF cardinality(spent) > 0 THEN
    SELECT array_agg((c.device, c.geofence, CASE WHEN c."firedMs" > c."exitedMs" THEN 'absence' ELSE 'dwell' END,
      to_timestamp(c."firedMs" / 1000), to_timestamp(c."firedMs" / 1000))::geofence_moment)
    INTO kept FROM (
      SELECT * FROM json_to_recordset(opened)
        AS o (device integer, geofence integer, "exitedMs" double precision, "firedMs" double precision)
      UNION ALL SELECT * FROM json_to_recordset(changed)
        AS o (device integer, geofence integer, "exitedMs" double precision, "firedMs" double precision)) c
    WHERE c."firedMs" IS NOT NULL;
  END IF;
  doubtful := doubtful
    || ARRAY(SELECT s.device_id FROM unnest(spent) s
      WHERE s <> ALL (coalesce(kept, '{}'))
        AND geofence_event_holds(s.device_id, s.geofence_id, s.type, s.from_time, s.to_time))
    -- The end of a visit is not in it; times of day are whole minutes.
    || ARRAY(SELECT i.device_id FROM unnest(inside) i
      WHERE geofence_event_holds(i.device_id, i.geofence_id, i.type, i.from_time,
        coalesce(i.to_time - interval '1 microsecond', instants_done)));
  IF cardinality(doubtful) > 0 THEN
    RAISE EXCEPTION 'what is to be stored of % devices contradicts what is stored', cardinality(doubtful)
      USING ERRCODE = 'FF001',
        DETAIL = (SELECT string_agg(DISTINCT d.id::text, ',') FROM unnest(doubtful) AS d (id)),
        HINT = coalesce(extract(epoch FROM instants_done) * 1000, 0)::text;
  END IF;
  -- An absence that holds on is that of the visit before it, and no longer of one before that.
  UPDATE geofence_visits v SET fired_at = NULL FROM unnest(spent) s
  WHERE v.device_id = s.device_id AND v.geofence_id = s.geofence_id AND v.fired_at = s.from_time
    AND EXISTS (SELECT FROM geofence_visits later WHERE later.device_id = v.device_id
      AND later.geofence_id = v.geofence_id AND later.entered_at > v.entered_at AND later.entered_at < v.fired_at);
  RETURN coalesce(stored, '[]');
END $$;

-- Stores events of timers, unless they are there; one that was there and is corrected comes again as a further revision.
-- Who calls it holds the locks that geofence_apply names. Returns those that were stored.
CREATE FUNCTION geofence_fire(made json) RETURNS SETOF json
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  times timestamptz[] := ARRAY(SELECT to_timestamp((e ->> 'timeMs')::double precision / 1000) FROM json_array_elements(made) e);
BEGIN
  -- Planned with the span of time at hand, so that other days cost nothing.
  RETURN QUERY EXECUTE '
    INSERT INTO events (event_time, device_id, geofence_id, geofence_version, organization_id, type, revision)
    SELECT n.at, n.device, n.geofence, n.version, n."organizationId", n.type, coalesce(was.revision + 1, 0)
    FROM (SELECT *, to_timestamp("timeMs" / 1000) AS at FROM json_to_recordset($1) AS c
      (device integer, geofence integer, version integer, "organizationId" integer, type text, "timeMs" double precision)) n
    CROSS JOIN LATERAL (
      SELECT max(e.revision) AS revision, bool_or(NOT e.superseded AND NOT e.retracted) AS holds FROM events e
      WHERE e.device_id = n.device AND e.event_time = n.at AND e.geofence_id = n.geofence AND e.type = n.type
        AND e.event_time BETWEEN $2 AND $3) was
    WHERE was.holds IS NOT true
    ORDER BY n.at, n.device, n.geofence
    ON CONFLICT DO NOTHING RETURNING geofence_event_json(events)'
    USING made, (SELECT min(t) FROM unnest(times) t), (SELECT max(t) FROM unnest(times) t);
END $$;

-- Marks an event as corrected. False where it is not there, or another one corrects it.
CREATE FUNCTION geofence_supersede(device integer, geofence integer, at timestamptz, event bigint) RETURNS boolean
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  row_count integer;
BEGIN
  EXECUTE 'UPDATE events SET superseded = true
    WHERE device_id = $1 AND event_time = $3 AND geofence_id = $2 AND id = $4 AND NOT superseded'
    USING device, geofence, at, event;
  GET DIAGNOSTICS row_count = ROW_COUNT;
  RETURN row_count = 1;
END $$;

-- A fix as evaluation takes it; its order is that of time and digest, which counts as unsigned.
CREATE TYPE geofence_fix AS (
  device_id integer,
  fix_time timestamptz,
  digest bigint,
  latitude double precision,
  longitude double precision,
  speed_kmh real
);

-- [time in ms, digest as two unsigned numbers, latitude, longitude, speed]. A real is widened: evaluation compares it.
CREATE FUNCTION geofence_fix_json(f geofence_fix) RETURNS json LANGUAGE sql IMMUTABLE
  RETURN json_build_array((extract(epoch FROM f.fix_time) * 1000)::double precision,
    (f.digest >> 32) & 4294967295, f.digest & 4294967295, f.latitude, f.longitude, f.speed_kmh::double precision);

CREATE FUNCTION geofence_visit_json(v geofence_visits) RETURNS json LANGUAGE sql IMMUTABLE
  RETURN json_build_array(v.geofence_id, v.version,
    (extract(epoch FROM v.entered_at) * 1000)::double precision,
    (extract(epoch FROM v.exited_at) * 1000)::double precision,
    (extract(epoch FROM v.due_at) * 1000)::double precision);

-- State of devices: open visits, and the last fixes, the oldest first. Goes back window by window as last_positions does.
CREATE FUNCTION geofence_devices(ids integer[], fix_count integer, seconds integer)
  RETURNS TABLE (device integer, organization integer, groups integer[], visits json, fixes json)
  LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  wanted integer[] := ids;
  found geofence_fix[] := '{}';
  recent geofence_fix[] := '{}';
  of_window geofence_fix[];
  back interval := make_interval(secs => seconds);
  window_start timestamptz;
  window_end timestamptz := 'infinity';
BEGIN
  FOREACH window_start IN ARRAY
    ARRAY[now() - interval '1 day', now() - interval '8 days', now() - interval '64 days', '-infinity']
  LOOP
    EXIT WHEN cardinality(wanted) = 0;
    of_window := ARRAY(
      SELECT f.fix FROM unnest(wanted) AS w (id)
      CROSS JOIN LATERAL (
        SELECT (p.device_id, p.fix_time, p.digest, p.latitude, p.longitude, p.speed_kmh)::geofence_fix
        FROM positions p
        WHERE p.device_id = w.id AND p.quality = 0 AND p.fix_time >= window_start AND p.fix_time < window_end
        -- Of those of one time the one with the lowest digest counts: it is not to be cut off.
        ORDER BY p.fix_time DESC, p.digest # (-9223372036854775808) LIMIT fix_count) AS f (fix));
    IF seconds > 0 THEN
      recent := recent || ARRAY(
        SELECT s.fix FROM (
          SELECT f.device_id, max(f.fix_time) AS at FROM unnest(of_window) f
          WHERE f.device_id NOT IN (SELECT b.device_id FROM unnest(found) b) GROUP BY 1) last
        CROSS JOIN LATERAL (
          SELECT (p.device_id, p.fix_time, p.digest, p.latitude, p.longitude, p.speed_kmh)::geofence_fix
          FROM positions p
          WHERE p.device_id = last.device_id AND p.quality = 0
            AND p.fix_time >= last.at - back AND p.fix_time <= last.at
            -- The same for all devices, so that other days are left out before.
            AND p.fix_time >= window_start - back AND p.fix_time < window_end) AS s (fix));
    END IF;
    found := found || of_window;
    wanted := ARRAY(
      SELECT w.id FROM unnest(wanted) AS w (id) LEFT JOIN unnest(found) f ON f.device_id = w.id
      GROUP BY w.id HAVING count(f.device_id) < fix_count);
    window_end := window_start;
  END LOOP;
  RETURN QUERY
    WITH fixes_of AS (
      SELECT f.device_id, json_agg(geofence_fix_json((f.device_id, f.fix_time, f.digest, f.latitude, f.longitude, f.speed_kmh)::geofence_fix)
        ORDER BY f.fix_time, f.digest # (-9223372036854775808)) AS list
      FROM (SELECT DISTINCT ON (u.device_id, u.fix_time, u.digest) u.* FROM unnest(found || recent) u) f GROUP BY 1)
    SELECT d.id, d.organization_id,
      ARRAY(SELECT m.group_id FROM device_group_members m WHERE m.device_id = d.id ORDER BY 1),
      coalesce((SELECT json_agg(geofence_visit_json(v) ORDER BY v.geofence_id, v.entered_at)
        FROM geofence_visits v WHERE v.device_id = d.id AND v.exited_at IS NULL), '[]'),
      coalesce(x.list, '[]')
    FROM unnest(ids) WITH ORDINALITY AS w (id, place)
    JOIN devices d ON d.id = w.id LEFT JOIN fixes_of x ON x.device_id = d.id
    ORDER BY w.place;
END $$;

-- Fixes of a device at a time and after it, in their order, or with `back` those before it, the last one first. Goes from
-- the time on window by window: most of what is asked for lies within a day.
CREATE FUNCTION geofence_fixes(device integer, at timestamptz, row_limit integer, back boolean)
  RETURNS SETOF json LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  direction integer := CASE WHEN back THEN -1 ELSE 1 END;
  row_count integer;
  rest integer := row_limit;
  window_start timestamptz := at;
  window_end timestamptz;
  from_time timestamptz;
  to_time timestamptz;
BEGIN
  FOREACH window_end IN ARRAY ARRAY[at + direction * interval '1 day', at + direction * interval '8 days',
    at + direction * interval '64 days', CASE WHEN back THEN '-infinity' ELSE 'infinity' END::timestamptz]
  LOOP
    from_time := least(window_start, window_end);
    to_time := greatest(window_start, window_end);
    IF back THEN
      RETURN QUERY
        SELECT geofence_fix_json((p.device_id, p.fix_time, p.digest, p.latitude, p.longitude, p.speed_kmh)::geofence_fix)
        FROM positions p
        WHERE p.device_id = device AND p.quality = 0 AND p.fix_time >= from_time AND p.fix_time < to_time
        ORDER BY p.fix_time DESC, p.digest # (-9223372036854775808) DESC LIMIT rest;
    ELSE
      RETURN QUERY
        SELECT geofence_fix_json((p.device_id, p.fix_time, p.digest, p.latitude, p.longitude, p.speed_kmh)::geofence_fix)
        FROM positions p
        WHERE p.device_id = device AND p.quality = 0 AND p.fix_time >= from_time AND p.fix_time < to_time
        ORDER BY p.fix_time, p.digest # (-9223372036854775808) LIMIT rest;
    END IF;
    GET DIAGNOSTICS row_count = ROW_COUNT;
    rest := rest - row_count;
    EXIT WHEN rest = 0;
    window_start := window_end;
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION geofence_claim, geofence_guard, settle_geofence, plan_geofence_instants, geofence_event_holds,
  geofence_apply, geofence_fire, geofence_supersede, geofence_devices, geofence_fixes FROM PUBLIC;
