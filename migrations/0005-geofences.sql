-- Geofences, the groups of devices that their rules name, visits of devices, and events.

CREATE TABLE device_groups (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, name),
  UNIQUE (organization_id, id)
);

-- Group and device are of one organisation: both keys say so, and a device that moves to another one leaves its groups
-- first.
CREATE TABLE device_group_members (
  organization_id integer NOT NULL,
  group_id integer NOT NULL,
  device_id integer NOT NULL,
  PRIMARY KEY (group_id, device_id),
  FOREIGN KEY (organization_id, group_id) REFERENCES device_groups (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, device_id) REFERENCES devices (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX device_group_members_device ON device_group_members (device_id);

CREATE TABLE geofences (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- As in schemas/geofence.ts: json, since it is read whole and never searched.
  shape json NOT NULL,
  -- Of the shape, degrees; west > east where it crosses the antimeridian.
  west double precision NOT NULL,
  south double precision NOT NULL,
  east double precision NOT NULL,
  north double precision NOT NULL,
  time_zone text NOT NULL,
  rules jsonb NOT NULL CHECK (jsonb_typeof(rules) = 'array'),
  disabled boolean NOT NULL DEFAULT false,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX geofences_organization ON geofences (organization_id, id);

-- What a geofence was before each change: events name the version that made them.
CREATE TABLE geofence_versions (
  geofence_id integer NOT NULL REFERENCES geofences ON DELETE CASCADE,
  version integer NOT NULL,
  organization_id integer NOT NULL,
  shape json NOT NULL,
  time_zone text NOT NULL,
  rules jsonb NOT NULL,
  disabled boolean NOT NULL,
  replaced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (geofence_id, version)
);

-- A change of anything but the name is a new version, whoever makes it.
CREATE FUNCTION count_geofence_version() RETURNS trigger LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
  NEW.updated_at := now();
  NEW.version := OLD.version;
  IF (NEW.shape::text, NEW.time_zone, NEW.rules, NEW.disabled)
    IS DISTINCT FROM (OLD.shape::text, OLD.time_zone, OLD.rules, OLD.disabled)
  THEN
    INSERT INTO geofence_versions (geofence_id, version, organization_id, shape, time_zone, rules, disabled)
    VALUES (OLD.id, OLD.version, OLD.organization_id, OLD.shape, OLD.time_zone, OLD.rules, OLD.disabled);
    NEW.version := OLD.version + 1;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER geofences_version BEFORE UPDATE ON geofences
  FOR EACH ROW EXECUTE FUNCTION count_geofence_version();

-- Ingest listens. The payload is the ids of the geofences with commas between, or * where they are too many for one.
CREATE FUNCTION notify_geofences() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  ids text;
BEGIN
  SELECT CASE WHEN count(*) > 500 THEN '*' ELSE string_agg(id::text, ',') END INTO ids FROM changed;
  IF ids IS NOT NULL THEN
    PERFORM pg_notify('geofences', ids);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER geofences_inserted AFTER INSERT ON geofences REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION notify_geofences();
CREATE TRIGGER geofences_updated AFTER UPDATE ON geofences REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION notify_geofences();
CREATE TRIGGER geofences_deleted AFTER DELETE ON geofences REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION notify_geofences();

-- Which groups a device is in belongs to the device: its registry is told.
CREATE FUNCTION notify_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('devices', coalesce(NEW.device_id, OLD.device_id)::text);
  RETURN NULL;
END $$;
CREATE TRIGGER device_group_members_notify AFTER INSERT OR DELETE ON device_group_members
  FOR EACH ROW EXECUTE FUNCTION notify_member();

-- A stay of a device in a geofence, whether or not its rule makes events of it. Membership now is the rows that are open.
CREATE TABLE geofence_visits (
  device_id integer NOT NULL REFERENCES devices ON DELETE CASCADE,
  geofence_id integer NOT NULL REFERENCES geofences ON DELETE CASCADE,
  entered_at timestamptz NOT NULL,
  -- Null while the device is inside.
  exited_at timestamptz,
  -- Version of the geofence by which the device entered.
  version integer NOT NULL,
  -- When a timer looks at the visit next: dwell while it is open, absence after its end.
  due_at timestamptz,
  -- Time of the last event that a timer made of the visit.
  fired_at timestamptz,
  PRIMARY KEY (device_id, geofence_id, entered_at)
);
CREATE INDEX geofence_visits_due ON geofence_visits (due_at) WHERE due_at IS NOT NULL;
-- Each index more costs a tenth of what a visit costs. A visit that is open has no end: these find it, too.
CREATE INDEX geofence_visits_device ON geofence_visits (device_id, exited_at);
CREATE INDEX geofence_visits_geofence ON geofence_visits (geofence_id, exited_at);

-- Events are only added to; `superseded` says that a later one corrects them. The key is what happened and which
-- correction of it this is: nothing can be there twice.
CREATE SEQUENCE events_id;
DO $$
DECLARE
  timescale boolean := current_setting('shared_preload_libraries') LIKE '%timescaledb%';
BEGIN
  EXECUTE $sql$
    CREATE TABLE events (
      id bigint NOT NULL DEFAULT nextval('events_id'),
      event_time timestamptz NOT NULL,
      recorded_at timestamptz NOT NULL DEFAULT now(),
      fix_time timestamptz,
      latitude double precision,
      longitude double precision,
      replaces bigint,
      device_id integer NOT NULL,
      geofence_id integer NOT NULL,
      geofence_version integer NOT NULL,
      -- That of the geofence then, filled in where it is left out: devices move, and geofences are deleted.
      organization_id integer,
      revision integer NOT NULL DEFAULT 0,
      speed_kmh real,
      crossing boolean NOT NULL DEFAULT false,
      retracted boolean NOT NULL DEFAULT false,
      superseded boolean NOT NULL DEFAULT false,
      type text NOT NULL,
      PRIMARY KEY (device_id, event_time, geofence_id, type, revision)
    ) $sql$ || CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (event_time)' END;
  CREATE INDEX events_geofence ON events (geofence_id, event_time);
  CREATE INDEX events_organization ON events (organization_id, event_time);
  IF timescale THEN
    PERFORM create_hypertable('events', by_range('event_time', INTERVAL '1 day'), create_default_indexes => false);
  ELSE
    CREATE TABLE events_default PARTITION OF events DEFAULT;
  END IF;
END $$;
ALTER SEQUENCE events_id OWNED BY events.id;

CREATE FUNCTION fill_event_organization() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  SELECT organization_id INTO NEW.organization_id FROM geofences WHERE id = NEW.geofence_id;
  RETURN NEW;
END $$;
CREATE TRIGGER events_organization BEFORE INSERT ON events
  FOR EACH ROW WHEN (NEW.organization_id IS NULL) EXECUTE FUNCTION fill_event_organization();

-- Makes the partition of a UTC day of a table that is partitioned by `column_name`, unless it is there or the server has
-- TimescaleDB. Rows of that day that went to the default partition before, from clocks that ran ahead, move into it.
-- Writers to other partitions go on meanwhile: unlike CREATE TABLE … PARTITION OF, attaching does not lock the whole.
CREATE FUNCTION ensure_day(parent text, column_name text, day date) RETURNS void
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  default_name text := parent || '_default';
  partition_name text := parent || '_' || to_char(day, 'YYYYMMDD');
  day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
  day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
  IF to_regclass(default_name) IS NULL OR to_regclass(partition_name) IS NOT NULL THEN
    RETURN;
  END IF;
  -- The locks that attaching takes, taken first: one maker at a time, and no row of the day slips into the default
  -- partition after the move.
  EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
  IF to_regclass(partition_name) IS NOT NULL THEN
    RETURN;
  END IF;
  EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', default_name);
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition_name, parent);
  EXECUTE format(
    'WITH moved AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)
     INSERT INTO %5$I SELECT * FROM moved', default_name, column_name, day_start, day_end, partition_name);
  EXECUTE format(
    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition_name, day_start, day_end);
END $$;

-- Of positions and events both. Returns true.
CREATE OR REPLACE FUNCTION ensure_position_day(day date) RETURNS boolean
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM ensure_day('positions', 'fix_time', day);
  PERFORM ensure_day('events', 'event_time', day);
  RETURN true;
END $$;
REVOKE ALL ON FUNCTION ensure_day, count_geofence_version, fill_event_organization FROM PUBLIC;

-- A run of a geofence over history. The API queues and cancels, ingest does it.
CREATE TABLE geofence_backfills (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  geofence_id integer NOT NULL REFERENCES geofences ON DELETE CASCADE,
  from_time timestamptz NOT NULL,
  to_time timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'cancelled', 'failed')),
  cancel_asked boolean NOT NULL DEFAULT false,
  -- Devices to do and done, in the order of their ids up to the last one; events that were added or corrected.
  devices_total integer,
  devices_done integer NOT NULL DEFAULT 0,
  last_device_id integer NOT NULL DEFAULT 0,
  events_added integer NOT NULL DEFAULT 0,
  events_retracted integer NOT NULL DEFAULT 0,
  failure text,
  created_by integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  ended_at timestamptz,
  -- While it runs, by whoever runs it: one that is not heard of is taken over.
  heard_at timestamptz,
  CHECK (from_time < to_time)
);
CREATE INDEX geofence_backfills_geofence ON geofence_backfills (geofence_id, id);
CREATE INDEX geofence_backfills_open ON geofence_backfills (id) WHERE state IN ('queued', 'running');

CREATE FUNCTION notify_backfill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('geofence_backfills', NEW.id::text);
  RETURN NULL;
END $$;
CREATE TRIGGER geofence_backfills_notify AFTER INSERT OR UPDATE OF cancel_asked ON geofence_backfills
  FOR EACH ROW EXECUTE FUNCTION notify_backfill();

ALTER TABLE device_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_group_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE geofences ENABLE ROW LEVEL SECURITY;
ALTER TABLE geofence_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE geofence_visits ENABLE ROW LEVEL SECURITY;
ALTER TABLE geofence_backfills ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON device_groups TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
CREATE POLICY tenant ON device_group_members TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
CREATE POLICY tenant ON geofences TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
CREATE POLICY tenant ON geofence_versions FOR SELECT TO fleetflow_api USING (app_sees(organization_id));
-- Visits have no organisation of their own: who sees the device sees its visits, in geofences that they see.
CREATE POLICY tenant ON geofence_visits FOR SELECT TO fleetflow_api
  USING (EXISTS (SELECT FROM geofences g WHERE g.id = geofence_id)
    AND EXISTS (SELECT FROM devices d WHERE d.id = device_id));
CREATE POLICY tenant_reads ON geofence_backfills FOR SELECT TO fleetflow_api USING (app_sees(organization_id));
CREATE POLICY tenant_queues ON geofence_backfills FOR INSERT TO fleetflow_api
  WITH CHECK (app_sees(organization_id) AND state = 'queued'
    AND created_by = nullif(current_setting('app.user_id', true), '')::integer);
CREATE POLICY tenant_cancels ON geofence_backfills FOR UPDATE TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));

GRANT SELECT, INSERT, UPDATE, DELETE ON device_groups TO fleetflow_api;
GRANT SELECT, INSERT, DELETE ON device_group_members TO fleetflow_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON geofences TO fleetflow_api;
GRANT SELECT ON geofence_versions, geofence_visits TO fleetflow_api;
GRANT SELECT, INSERT, UPDATE (cancel_asked) ON geofence_backfills TO fleetflow_api;
