-- Who may see what: sessions and the streams that hang on them, the devices of a driver, links that show a few devices
-- to whoever has them.

-- A session is a family of refresh tokens: it holds while one of them can still be used.
CREATE FUNCTION session_holds(session uuid, of_user integer) RETURNS boolean LANGUAGE sql STABLE
  RETURN EXISTS (SELECT FROM refresh_tokens t
    WHERE t.family_id = session AND t.user_id = of_user AND t.used_at IS NULL AND t.expires_at > now());

-- Devices of a driver, which are all that the driver sees. User and device are of one organisation: both keys say so.
ALTER TABLE users ADD CONSTRAINT users_organization_id_key UNIQUE (organization_id, id);
CREATE TABLE driver_devices (
  organization_id integer NOT NULL,
  user_id integer NOT NULL,
  device_id integer NOT NULL,
  PRIMARY KEY (user_id, device_id),
  FOREIGN KEY (organization_id, user_id) REFERENCES users (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, device_id) REFERENCES devices (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX driver_devices_device ON driver_devices (device_id);

-- Open streams follow: whoever hears of a device asks whose it is.
CREATE TRIGGER driver_devices_notify AFTER INSERT OR DELETE ON driver_devices
  FOR EACH ROW EXECUTE FUNCTION notify_member();

-- What a driver may see beside the tenant: only the own devices. Nothing is kept from others here.
CREATE FUNCTION app_drives(device integer) RETURNS boolean LANGUAGE sql STABLE
  RETURN current_setting('app.role', true) IS DISTINCT FROM 'driver'
    OR EXISTS (SELECT FROM driver_devices o
      WHERE o.user_id = nullif(current_setting('app.user_id', true), '')::integer AND o.device_id = device);

ALTER TABLE driver_devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON driver_devices TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
CREATE POLICY driver ON driver_devices AS RESTRICTIVE TO fleetflow_api
  USING (current_setting('app.role', true) IS DISTINCT FROM 'driver'
    OR user_id = nullif(current_setting('app.user_id', true), '')::integer)
  WITH CHECK (current_setting('app.role', true) IS DISTINCT FROM 'driver');
CREATE POLICY driver ON devices AS RESTRICTIVE TO fleetflow_api
  USING (app_drives(id)) WITH CHECK (current_setting('app.role', true) IS DISTINCT FROM 'driver');
GRANT SELECT, INSERT, DELETE ON driver_devices TO fleetflow_api;

-- The doors to positions ask that, too.
CREATE OR REPLACE FUNCTION device_positions(
  device integer, from_time timestamptz, to_time timestamptz,
  after_time timestamptz, after_digest bigint, row_limit integer)
  RETURNS SETOF positions
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT p.* FROM positions p
  WHERE p.device_id = (
      SELECT d.id FROM devices d WHERE d.id = device AND app_sees(d.organization_id) AND app_drives(d.id))
    AND p.fix_time >= greatest(from_time, after_time) AND p.fix_time < to_time
    AND (after_time IS NULL OR (p.fix_time, p.digest) > (after_time, after_digest))
  ORDER BY p.fix_time, p.digest
  LIMIT least(row_limit, 10000)
$$;

CREATE OR REPLACE FUNCTION last_positions(device_ids integer[])
  RETURNS SETOF positions
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  wanted integer[] := ARRAY(
    SELECT d.id FROM devices d
    WHERE app_sees(d.organization_id) AND app_drives(d.id) AND (device_ids IS NULL OR d.id = ANY (device_ids)));
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

-- Doors to last fixes and to fixes in boxes are none of a driver's.
CREATE OR REPLACE FUNCTION app_organizations() RETURNS integer[] LANGUAGE sql STABLE
  RETURN CASE current_setting('app.role', true)
    WHEN 'super-admin' THEN ARRAY(SELECT id FROM organizations)
    WHEN 'driver' THEN ARRAY[]::integer[]
    ELSE array_remove(ARRAY[nullif(current_setting('app.organization_id', true), '')::integer], NULL) END;

-- A link shows some devices, or those of one group as they are at the time, to whoever has its token, and goes with its
-- group.
CREATE TABLE share_links (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  -- Null where it names devices.
  group_id integer,
  -- What it shows is so much behind the present, s.
  delay_s integer NOT NULL CHECK (delay_s BETWEEN 0 AND 3600),
  expires_at timestamptz NOT NULL,
  -- SHA-256 of the token; the token itself is never stored.
  token_hash bytea NOT NULL UNIQUE,
  -- Users are not referred to: what a user did stays when the user is deleted, and ids are not used again.
  created_by integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (organization_id, id),
  FOREIGN KEY (organization_id, group_id) REFERENCES device_groups (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX share_links_group ON share_links (group_id) WHERE group_id IS NOT NULL;
CREATE TABLE share_link_devices (
  organization_id integer NOT NULL,
  share_link_id integer NOT NULL,
  device_id integer NOT NULL,
  PRIMARY KEY (share_link_id, device_id),
  FOREIGN KEY (organization_id, share_link_id) REFERENCES share_links (organization_id, id) ON DELETE CASCADE,
  FOREIGN KEY (organization_id, device_id) REFERENCES devices (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX share_link_devices_device ON share_link_devices (device_id);

ALTER TABLE share_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE share_link_devices ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON share_links TO fleetflow_api
  USING (app_sees(organization_id))
  WITH CHECK (app_sees(organization_id)
    AND created_by = nullif(current_setting('app.user_id', true), '')::integer);
CREATE POLICY tenant ON share_link_devices TO fleetflow_api
  USING (app_sees(organization_id)) WITH CHECK (app_sees(organization_id));
GRANT SELECT (id, organization_id, name, group_id, delay_s, expires_at, created_by, created_at), INSERT, DELETE
  ON share_links TO fleetflow_api;
GRANT SELECT, INSERT ON share_link_devices TO fleetflow_api;

-- Devices that links show now, disabled ones left out.
CREATE FUNCTION share_devices(share_link_ids integer[])
  RETURNS TABLE (share_link_id integer, device_id integer, name text)
  LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT shown.share_link_id, d.id, d.name FROM (
    SELECT s.share_link_id, s.device_id FROM share_link_devices s WHERE s.share_link_id = ANY (share_link_ids)
    UNION ALL
    SELECT l.id, m.device_id FROM share_links l JOIN device_group_members m ON m.group_id = l.group_id
    WHERE l.id = ANY (share_link_ids)) shown
  JOIN devices d ON d.id = shown.device_id AND NOT d.disabled
$$;

-- Doors of whoever has a link, who is nobody that has logged in.

CREATE FUNCTION open_share_link(hash bytea)
  RETURNS TABLE (name text, expires_at timestamptz, delay_s integer, devices json)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
  SELECT l.name, l.expires_at, l.delay_s, (
    SELECT coalesce(json_agg(json_build_object('id', d.device_id, 'name', d.name) ORDER BY d.device_id), '[]') FROM (
      SELECT * FROM share_devices(ARRAY[l.id]) ORDER BY device_id LIMIT 10000) d)
  FROM share_links l WHERE l.token_hash = hash AND l.expires_at > now()
$$;

-- A ticket to the stream is of a user's session, or of a link. Those of no session are not redeemed any more.
DELETE FROM stream_tickets;
ALTER TABLE stream_tickets
  ALTER COLUMN user_id DROP NOT NULL,
  ADD COLUMN session_id uuid,
  ADD COLUMN share_link_id integer REFERENCES share_links ON DELETE CASCADE,
  ADD CHECK ((user_id IS NULL) = (share_link_id IS NOT NULL) AND (user_id IS NULL) = (session_id IS NULL));
CREATE INDEX stream_tickets_share ON stream_tickets (share_link_id) WHERE share_link_id IS NOT NULL;

-- Makes a ticket of a link, unless too many of its tickets wait: 'made', 'too-many' or, where there is no such link,
-- 'unknown'.
CREATE FUNCTION make_share_ticket(hash bytea, new_ticket_hash bytea, valid_s integer, waiting_max integer) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  -- The lock has the tickets counted one after the other.
  link integer := (SELECT l.id FROM share_links l WHERE l.token_hash = hash AND l.expires_at > now() FOR UPDATE);
BEGIN
  IF link IS NULL THEN
    RETURN 'unknown';
  END IF;
  DELETE FROM stream_tickets t WHERE t.share_link_id = link AND t.expires_at < now();
  IF (SELECT count(*) FROM stream_tickets t WHERE t.share_link_id = link) >= waiting_max THEN
    RETURN 'too-many';
  END IF;
  INSERT INTO stream_tickets (ticket_hash, share_link_id, expires_at)
  VALUES (new_ticket_hash, link, now() + make_interval(secs => valid_s));
  RETURN 'made';
END $$;

-- Redeems a ticket, once: of a user, or of a link, whichever is not null.
DROP FUNCTION redeem_stream_ticket;
CREATE FUNCTION redeem_stream_ticket(hash bytea)
  RETURNS TABLE (
    user_id integer, organization_id integer, role text, session_id uuid, share_link_id integer, delay_s integer)
  LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
  WITH ticket AS (DELETE FROM stream_tickets WHERE ticket_hash = hash RETURNING *)
  SELECT u.id, u.organization_id, u.role, t.session_id, NULL::integer, 0 FROM ticket t JOIN users u ON u.id = t.user_id
  WHERE t.expires_at > now() AND NOT u.disabled AND session_holds(t.session_id, u.id)
  UNION ALL
  SELECT NULL, l.organization_id, NULL, NULL, l.id, l.delay_s FROM ticket t JOIN share_links l ON l.id = t.share_link_id
  WHERE t.expires_at > now() AND l.expires_at > now()
$$;

REVOKE ALL ON FUNCTION share_devices, open_share_link, make_share_ticket, redeem_stream_ticket FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_share_link, make_share_ticket, redeem_stream_ticket TO fleetflow_api;
