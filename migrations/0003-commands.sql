-- Commands to devices, and a record of what was done or refused that someone may have to answer for.

-- A command names its device and the organisation of that device, as one key, so that neither the API nor a device that
-- moves to another organisation can make the two differ.
ALTER TABLE devices ADD CONSTRAINT devices_organization_id_key UNIQUE (organization_id, id);
DROP INDEX devices_organization;

CREATE TABLE commands (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL,
  device_id integer NOT NULL,
  type text NOT NULL,
  attributes jsonb NOT NULL CHECK (jsonb_typeof(attributes) = 'object'),
  state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'acknowledged', 'failed', 'expired')),
  -- Chosen by who gives the command: the same key again is the same command.
  key text CHECK (length(key) BETWEEN 1 AND 128),
  -- Number of the command in the session on which it was sent.
  serial integer,
  -- Users are not referred to: what a user did stays when the user is deleted, and ids are not used again.
  created_by integer NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  sent_at timestamptz,
  answered_at timestamptz,
  -- What the device said.
  answer text,
  -- Code and sentence, such as `vehicle-moving: …`.
  failure text,
  UNIQUE (device_id, key),
  FOREIGN KEY (organization_id, device_id) REFERENCES devices (organization_id, id)
    ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE INDEX commands_device ON commands (device_id, id);
-- Claims, the set of devices that wait, and answers look at what is open only, however long the past is.
CREATE INDEX commands_queued ON commands (device_id, id) WHERE state = 'queued';
CREATE INDEX commands_expiring ON commands (expires_at) WHERE state = 'queued';
CREATE INDEX commands_sent ON commands (device_id, id) WHERE state = 'sent';

-- Every process of ingest listens: the payload is the device's id.
CREATE FUNCTION notify_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('commands', NEW.device_id::text);
  RETURN NULL;
END $$;
CREATE TRIGGER commands_notify AFTER INSERT OR UPDATE OF state ON commands
  FOR EACH ROW WHEN (NEW.state = 'queued') EXECUTE FUNCTION notify_command();

-- Added to, never changed.
CREATE TABLE audit_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organization_id integer NOT NULL REFERENCES organizations ON DELETE CASCADE,
  -- Who did it; null for the engine itself.
  user_id integer,
  -- Such as `command-refused`.
  action text NOT NULL,
  -- What it was done to, such as `device 7`.
  subject text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_events_organization ON audit_events (organization_id, id);

-- The last undoubted position, which is the one that last_positions gives; no row where there is none. For ingest,
-- which has no tenant.
CREATE FUNCTION last_position(device integer) RETURNS SETOF positions
  LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
  window_start timestamptz;
  window_end timestamptz := 'infinity';
BEGIN
  FOREACH window_start IN ARRAY
    ARRAY[now() - interval '1 day', now() - interval '8 days', now() - interval '64 days', '-infinity']
  LOOP
    RETURN QUERY SELECT p.* FROM positions p
      WHERE p.device_id = device AND p.quality = 0 AND p.fix_time >= window_start AND p.fix_time < window_end
      ORDER BY p.fix_time DESC, p.digest DESC LIMIT 1;
    EXIT WHEN FOUND;
    window_end := window_start;
  END LOOP;
END $$;
REVOKE ALL ON FUNCTION last_position FROM PUBLIC;

ALTER TABLE commands ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
-- The API reads which protocol a device speaks.
ALTER TABLE decoders ENABLE ROW LEVEL SECURITY;

CREATE POLICY tenant_reads ON commands FOR SELECT TO fleetflow_api USING (app_sees(organization_id));
CREATE POLICY tenant_queues ON commands FOR INSERT TO fleetflow_api
  WITH CHECK (app_sees(organization_id) AND state = 'queued'
    AND created_by = nullif(current_setting('app.user_id', true), '')::integer);
-- A command that is sent stays.
CREATE POLICY tenant_cancels ON commands FOR DELETE TO fleetflow_api
  USING (app_sees(organization_id) AND state = 'queued');
CREATE POLICY tenant_reads ON audit_events FOR SELECT TO fleetflow_api USING (app_sees(organization_id));
CREATE POLICY tenant_adds ON audit_events FOR INSERT TO fleetflow_api
  WITH CHECK (app_sees(organization_id)
    AND user_id = nullif(current_setting('app.user_id', true), '')::integer);
CREATE POLICY everyone ON decoders FOR SELECT TO fleetflow_api USING (true);

GRANT SELECT, INSERT, DELETE ON commands TO fleetflow_api;
GRANT SELECT, INSERT ON audit_events TO fleetflow_api;
GRANT SELECT ON decoders TO fleetflow_api;
