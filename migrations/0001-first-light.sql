-- Organisations, users, devices, quarantine, positions; roles and the doors to them.
--
-- Two roles stand beside the owner of the schema. Every transaction of the API runs as fleetflow_api with the
-- tenant in app.organization_id and app.role; row-level security filters what it sees. It has no grant on
-- positions: row-level security does not work with compressed hypertables, so the only door is a few functions
-- that take the tenant from the transaction.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleetflow_api') THEN
    CREATE ROLE fleetflow_api NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- Another database of the same server made it in this moment: roles belong to the server.
END $$;

CREATE EXTENSION IF NOT EXISTS citext;

CREATE TABLE organizations (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Null for a super admin, who belongs to no organisation.
  organization_id integer REFERENCES organizations ON DELETE CASCADE,
  email citext NOT NULL UNIQUE,
  name text NOT NULL DEFAULT '',
  role text NOT NULL CHECK (role IN ('super-admin', 'admin', 'manager', 'dispatcher', 'driver', 'viewer')),
  -- bcrypt, cost 12.
  password_hash text NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((role = 'super-admin') = (organization_id IS NULL))
);

-- A login is a family of refresh tokens, each used once; the use of a spent one ends the family.
CREATE TABLE refresh_tokens (
  -- SHA-256 of the token; the token itself is never stored.
  token_hash bytea PRIMARY KEY,
  family_id uuid NOT NULL,
  user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);

-- One-time tickets to the live stream: a browser cannot send a header with a WebSocket.
CREATE TABLE stream_tickets (
  -- SHA-256 of the ticket.
  ticket_hash bytea PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
  expires_at timestamptz NOT NULL
);
CREATE INDEX stream_tickets_user ON stream_tickets (user_id);

CREATE TABLE devices (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  -- What the device calls itself: an IMEI, mostly. One device may not report to two organisations.
  unique_id text NOT NULL UNIQUE CHECK (length(unique_id) BETWEEN 1 AND 128),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  model text NOT NULL DEFAULT '' CHECK (length(model) <= 100),
  -- Options of the protocol adapter, such as {"extended": true}.
  options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
  -- SHA-256 of the password that an MQTT device must give; null = none is asked.
  secret_hash bytea,
  disabled boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX devices_organization ON devices (organization_id, id);

-- The device registry of ingest listens: the payload is the device's id.
CREATE FUNCTION notify_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('devices', coalesce(NEW.id, OLD.id)::text);
  RETURN NULL;
END $$;
CREATE TRIGGER devices_notify AFTER INSERT OR UPDATE OR DELETE ON devices
  FOR EACH ROW EXECUTE FUNCTION notify_device();

-- Unknown devices and frames that could not be read; bounded by ingest.
CREATE TABLE quarantine (
  protocol text NOT NULL,
  -- '' where the frame names no device.
  unique_id text NOT NULL,
  -- 'unknown-device', or the code of the decode error.
  reason text NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  frame_count bigint NOT NULL,
  last_frame bytea NOT NULL,
  last_address text NOT NULL,
  PRIMARY KEY (protocol, unique_id, reason)
);
CREATE INDEX quarantine_last_seen ON quarantine (last_seen);

-- Units are in the names. A column is null when the device did not report it. Other attributes are JSON in a text
-- column: PostgreSQL takes text as it comes, while parsing jsonb costs more than all other columns of a row.
DO $$
DECLARE
  timescale boolean := current_setting('shared_preload_libraries') LIKE '%timescaledb%';
BEGIN
  EXECUTE $sql$
    CREATE TABLE positions (
      fix_time timestamptz NOT NULL,
      received_at timestamptz NOT NULL,
      device_time timestamptz,
      latitude double precision,
      longitude double precision,
      odometer_m double precision,
      engine_hours_ms double precision,
      -- Digest of the record's bytes: a record sent twice is one row, two records of one moment are two.
      digest bigint NOT NULL,
      device_id integer NOT NULL,
      event integer,
      altitude_m real,
      speed_kmh real,
      course_deg real,
      accuracy_m real,
      hdop real,
      power_v real,
      battery_v real,
      battery_percent real,
      fuel_l real,
      rssi real,
      satellites smallint,
      -- Bits of schemas/quality.ts; 0 = not doubted.
      quality smallint NOT NULL,
      valid boolean NOT NULL,
      ignition boolean,
      motion boolean,
      alarm text,
      attributes text,
      PRIMARY KEY (device_id, fix_time, digest)
    ) $sql$ || CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (fix_time)' END;
  CREATE INDEX positions_received ON positions USING brin (received_at);
  IF timescale THEN
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    PERFORM create_hypertable('positions', by_range('fix_time', INTERVAL '1 day'), create_default_indexes => false);
  ELSE
    CREATE TABLE positions_default PARTITION OF positions DEFAULT;
  END IF;
END $$;

-- Makes the partition of a UTC day, unless it is there or the server has TimescaleDB. Rows of that day that went to
-- the default partition before, from clocks that ran ahead, move into it. Writers to other partitions go on meanwhile:
-- unlike CREATE TABLE … PARTITION OF, attaching does not lock the whole of positions. Returns true.
CREATE FUNCTION ensure_position_day(day date) RETURNS boolean
  LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  partition_name text := 'positions_' || to_char(day, 'YYYYMMDD');
  day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
  day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
  IF to_regclass('positions_default') IS NULL OR to_regclass(partition_name) IS NOT NULL THEN
    RETURN true;
  END IF;
  -- The locks that attaching takes, taken first: one maker at a time, and no row of the day slips into the default
  -- partition after the move.
  LOCK TABLE ONLY positions IN SHARE UPDATE EXCLUSIVE MODE;
  IF to_regclass(partition_name) IS NOT NULL THEN
    RETURN true;
  END IF;
  LOCK TABLE positions_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('CREATE TABLE %I (LIKE positions INCLUDING ALL)', partition_name);
  EXECUTE format(
    'WITH moved AS (DELETE FROM positions_default WHERE fix_time >= %L AND fix_time < %L RETURNING *)
     INSERT INTO %I SELECT * FROM moved', day_start, day_end, partition_name);
  EXECUTE format(
    'ALTER TABLE positions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition_name, day_start, day_end);
  RETURN true;
END $$;

-- The tenant of the transaction. A super admin sees every organisation.
CREATE FUNCTION app_sees(organization integer) RETURNS boolean LANGUAGE sql STABLE
  RETURN current_setting('app.role', true) = 'super-admin'
    OR organization = nullif(current_setting('app.organization_id', true), '')::integer;

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE stream_tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE quarantine ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant ON organizations TO fleetflow_api USING (app_sees(id)) WITH CHECK (app_sees(id));
CREATE POLICY tenant ON users TO fleetflow_api
  USING (app_sees(organization_id)
    -- Their own row, also for a user without an organisation.
    OR id = nullif(current_setting('app.user_id', true), '')::integer)
  WITH CHECK (app_sees(organization_id));
CREATE POLICY own ON refresh_tokens TO fleetflow_api
  USING (user_id = nullif(current_setting('app.user_id', true), '')::integer);
CREATE POLICY own ON stream_tickets TO fleetflow_api
  USING (user_id = nullif(current_setting('app.user_id', true), '')::integer);
CREATE POLICY tenant ON devices TO fleetflow_api USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
-- What unknown devices send belongs to no organisation yet.
CREATE POLICY unclaimed ON quarantine TO fleetflow_api USING (current_setting('app.role', true) = 'super-admin');

-- A database that was made before PostgreSQL 15 lets everyone create objects, which could stand in for ours.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO fleetflow_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON organizations, users, devices TO fleetflow_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens, stream_tickets TO fleetflow_api;
GRANT SELECT, DELETE ON quarantine TO fleetflow_api;

-- Doors that stand before the tenant is known.

CREATE FUNCTION login_user(login_email text)
  RETURNS TABLE (id integer, organization_id integer, email text, name text, role text, password_hash text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT u.id, u.organization_id, u.email::text, u.name, u.role, u.password_hash
  FROM users u WHERE u.email = login_email::citext AND NOT u.disabled
$$;

-- Spends a refresh token. The second use of one is a theft or a race: it ends the whole family.
CREATE FUNCTION spend_refresh_token(hash bytea)
  RETURNS TABLE (user_id integer, family_id uuid, organization_id integer, email text, name text, role text)
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  found refresh_tokens;
BEGIN
  SELECT * INTO found FROM refresh_tokens t WHERE t.token_hash = hash FOR UPDATE;
  IF found.token_hash IS NULL OR found.expires_at < now() THEN
    RETURN;
  END IF;
  IF found.used_at IS NOT NULL THEN
    DELETE FROM refresh_tokens t WHERE t.family_id = found.family_id;
    RETURN;
  END IF;
  UPDATE refresh_tokens t SET used_at = now() WHERE t.token_hash = hash;
  RETURN QUERY SELECT u.id, found.family_id, u.organization_id, u.email::text, u.name, u.role
    FROM users u WHERE u.id = found.user_id AND NOT u.disabled;
END $$;

-- Redeems a ticket, once.
CREATE FUNCTION redeem_stream_ticket(hash bytea)
  RETURNS TABLE (user_id integer, organization_id integer, role text)
  LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH ticket AS (DELETE FROM stream_tickets WHERE ticket_hash = hash RETURNING user_id, expires_at)
  SELECT u.id, u.organization_id, u.role FROM ticket t JOIN users u ON u.id = t.user_id
  WHERE t.expires_at > now() AND NOT u.disabled
$$;

-- Doors to positions. Rows are those of devices that the transaction's tenant sees.

CREATE FUNCTION device_positions(
  device integer, from_time timestamptz, to_time timestamptz,
  after_time timestamptz, after_digest bigint, row_limit integer)
  RETURNS SETOF positions
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT p.* FROM positions p
  WHERE p.device_id = (SELECT d.id FROM devices d WHERE d.id = device AND app_sees(d.organization_id))
    AND p.fix_time >= greatest(from_time, after_time) AND p.fix_time < to_time
    AND (after_time IS NULL OR (p.fix_time, p.digest) > (after_time, after_digest))
  ORDER BY p.fix_time, p.digest
  LIMIT least(row_limit, 10000)
$$;

-- Last undoubted position of each device; of all that the tenant sees when device_ids is null. Goes back window by
-- window, since a search without bounds would look into every day's partition for every device.
CREATE FUNCTION last_positions(device_ids integer[])
  RETURNS SETOF positions
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wanted integer[] := ARRAY(
    SELECT d.id FROM devices d
    WHERE app_sees(d.organization_id) AND (device_ids IS NULL OR d.id = ANY (device_ids)));
  last positions[];
  window_start timestamptz;
  window_end timestamptz := 'infinity';
BEGIN
  FOREACH window_start IN ARRAY
    ARRAY[now() - interval '1 day', now() - interval '8 days', now() - interval '64 days', '-infinity']
  LOOP
    EXIT WHEN cardinality(wanted) = 0;
    last := ARRAY(
      SELECT found.position FROM unnest(wanted) AS device (id)
      CROSS JOIN LATERAL (
        SELECT p FROM positions p
        WHERE p.device_id = device.id AND p.quality = 0 AND p.fix_time >= window_start AND p.fix_time < window_end
        ORDER BY p.fix_time DESC, p.digest DESC LIMIT 1) AS found (position));
    RETURN QUERY SELECT * FROM unnest(last);
    wanted := ARRAY(SELECT unnest(wanted) EXCEPT SELECT device_id FROM unnest(last));
    window_end := window_start;
  END LOOP;
END $$;

REVOKE ALL ON FUNCTION login_user, spend_refresh_token, redeem_stream_ticket, device_positions, last_positions, ensure_position_day FROM PUBLIC;
GRANT EXECUTE ON FUNCTION login_user, spend_refresh_token, redeem_stream_ticket, device_positions, last_positions TO fleetflow_api;
