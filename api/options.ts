/** What the API is started with. */
import type pg from 'pg'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'

/** State of a part of the system, for `/ready`. */
export interface PartState {
  readonly ok: boolean
  /** It does its work, but not all that comes of it: ingest that takes positions and cannot store them now. */
  readonly degraded?: boolean
  /** What is wrong; shown to anyone who asks, so without secrets. */
  readonly detail?: string
}

/** What the API has to know of commands. */
export interface CommandOptions {
  /** Types of command that devices of each protocol can take, by the protocol's id. */
  readonly types: ReadonlyMap<string, readonly string[]>
  /** Speed above which a vehicle is not told to stop its engine. */
  readonly engineStopSpeedKmhMax: number
  /** Commands that may wait for one device. */
  readonly queuedPerDeviceMax: number
  /** Told when that is met. */
  readonly onQueueFull: () => void
}

/** What the API has to know of geofences. */
export interface GeofenceOptions {
  /** Geofences of an organisation. */
  readonly perOrganizationMax: number
  /** Geofences of an organisation whose box has one place in it. */
  readonly overlapsMax: number
  /** Told when one of them is met. */
  readonly onLimit: (limit: 'geofencesPerOrganizationMax' | 'geofenceOverlapsMax') => void
}

/** What is needed to say how the process is: `/health`, `/ready` and `/metrics`. */
export interface HealthOptions {
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  readonly pool: pg.Pool
  /** Prometheus text of the whole process. */
  readonly metrics: () => Promise<string>
  /** States of the other parts; the server adds the database. */
  readonly ready: () => Promise<Record<string, PartState>>
  /** Asked for at `/metrics`; without one, `/metrics` answers only when `host` is a loopback address and no proxy stands before it. */
  readonly metricsToken?: string | undefined
  /** Whether a proxy of ours stands before the server and sets X-Forwarded-For. */
  readonly trustedProxy?: boolean | undefined
  readonly log: Logger
  /** Gets the server's own metrics. */
  readonly registry: Registry
}

export interface ApiOptions extends HealthOptions {
  /** At least `JWT_SECRET_BYTES_MIN` bytes. */
  readonly jwtSecret: string
  /** Where clients reach the live stream, such as `ws://127.0.0.1:8081`, without a path. */
  readonly streamUrl: () => string
  readonly commands: CommandOptions
  readonly geofences: GeofenceOptions
  /** Folder of the built dashboard, read once at start. */
  readonly dashboardDir?: URL | undefined
  /** GeoJSON drawn over the basemap, read once at start. */
  readonly overlayFile?: URL | undefined
}
