/** Where commands are taken: what is refused and why, and what goes into the queue. */
import type pg from 'pg'
import type { z } from 'zod'
import type { AccessClaims } from '../schemas/access-token.ts'
import {
  COMMAND_TYPES,
  type Command,
  type CommandCreate,
  type CommandTypes,
} from '../schemas/device-command.ts'
import { audit } from './audit.ts'
import type { CommandOptions } from './options.ts'
import { ApiError, notFound } from './problem.ts'

const COLUMNS = `id, device_id AS "deviceId", type, attributes, state, key, created_by AS "createdBy",
  created_at AS "createdAt", expires_at AS "expiresAt", sent_at AS "sentAt", answered_at AS "answeredAt", answer, failure`

/** A row as PostgreSQL gives it. */
type Row = Omit<Command, 'createdAt' | 'expiresAt' | 'sentAt' | 'answeredAt'> & {
  createdAt: Date
  expiresAt: Date
  sentAt: Date | null
  answeredAt: Date | null
}

/** What the last undoubted position of a device tells. */
interface LastPosition {
  /** Null if it says none. */
  readonly speedKmh: number | null
  /** Null in rows of before versions were kept. */
  readonly protocol: string | null
  readonly fixTime: Date
}

/** What became of a request; `before`: the key had been used for the same command. */
export type Outcome = { readonly command: Command; readonly before: boolean } | ApiError

export class CommandDesk {
  private readonly options: CommandOptions

  constructor(options: CommandOptions) {
    this.options = options
  }

  /** @throws ApiError 404 if the caller does not see the device. */
  async device(client: pg.ClientBase, id: number): Promise<{ organizationId: number }> {
    const { rows } = await client.query<{ organizationId: number }>(
      'SELECT organization_id AS "organizationId" FROM devices WHERE id = $1',
      [id],
    )
    if (rows[0] === undefined) throw notFound(`device ${id}`)
    return rows[0]
  }

  /** @throws ApiError 404 if the caller does not see the device. */
  async types(client: pg.ClientBase, deviceId: number): Promise<z.infer<typeof CommandTypes>> {
    await this.device(client, deviceId)
    const protocol = (await lastPosition(client, deviceId))?.protocol ?? null
    return { protocol, types: [...this.typesOf(protocol)] }
  }

  async list(
    client: pg.ClientBase,
    deviceId: number,
    query: {
      readonly state: string | undefined
      readonly before: number | undefined
      readonly limit: number
    },
  ): Promise<Command[]> {
    const { rows } = await client.query<Row>(
      `SELECT ${COLUMNS} FROM commands
       WHERE device_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::bigint IS NULL OR id < $3)
       ORDER BY id DESC LIMIT $4`,
      [deviceId, query.state, query.before, query.limit],
    )
    return rows.map(itemOf)
  }

  async find(client: pg.ClientBase, deviceId: number, id: number): Promise<Command | undefined> {
    const { rows } = await client.query<Row>(
      `SELECT ${COLUMNS} FROM commands WHERE id = $1 AND device_id = $2`,
      [id, deviceId],
    )
    return rows[0] && itemOf(rows[0])
  }

  /**
   * Queues a command, or refuses it; a refusal that is audited is returned, so that the transaction keeps the record.
   * @throws ApiError any other refusal.
   */
  async give(
    client: pg.ClientBase,
    caller: AccessClaims,
    deviceId: number,
    input: CommandCreate,
  ): Promise<Outcome> {
    // The lock makes commands of one device wait for each other: the same key twice, and the last place in the queue.
    const { rows } = await client.query<{ organizationId: number }>(
      'SELECT organization_id AS "organizationId" FROM devices WHERE id = $1 FOR NO KEY UPDATE',
      [deviceId],
    )
    if (rows[0] === undefined) throw notFound(`device ${deviceId}`)
    const { organizationId } = rows[0]
    const before = await this.givenBefore(client, deviceId, input)
    if (before !== undefined) return { command: before, before: true }
    const subject = `device ${deviceId}`
    const last = await lastPosition(client, deviceId)
    this.checkType(input.type, last?.protocol ?? null)
    const speedKmh = last?.speedKmh ?? null
    const speedKmhMax = this.options.engineStopSpeedKmhMax
    if (input.type === 'engineStop' && last !== undefined && speedKmh !== null && speedKmh > speedKmhMax) {
      const details = { type: input.type, code: 'vehicle-moving', speedKmh, speedKmhMax }
      await audit(client, caller, { organizationId, action: 'command-refused', subject, details })
      return new ApiError(
        409,
        'vehicle-moving',
        `The vehicle moved at ${speedKmh.toFixed(1)} km/h at its last position (${last.fixTime.toISOString()}); ` +
          `engineStop is possible up to ${speedKmhMax} km/h. Ask again when it stands.`,
        { members: { speedKmh, speedKmhMax } },
      )
    }
    await this.checkQueue(client, deviceId)
    const command = await insert(client, caller, organizationId, deviceId, input)
    const details = { command: command.id, type: input.type }
    await audit(client, caller, { organizationId, action: 'command-accepted', subject, details })
    return { command, before: false }
  }

  /**
   * @returns The command that was given with this key.
   * @throws ApiError 409 if that was another one.
   */
  private async givenBefore(
    client: pg.ClientBase,
    deviceId: number,
    { key, type, attributes }: CommandCreate,
  ): Promise<Command | undefined> {
    if (key === undefined) return undefined
    const { rows } = await client.query<Row & { same: boolean }>(
      `SELECT ${COLUMNS}, type = $3 AND attributes = $4 AS same FROM commands WHERE device_id = $1 AND key = $2`,
      [deviceId, key, type, JSON.stringify(attributes)],
    )
    if (rows[0] === undefined) return undefined
    const { same, ...row } = rows[0]
    if (same) return itemOf(row)
    throw new ApiError(
      409,
      'key-taken',
      `Command ${row.id} of this device has this key, and another type or other attributes; choose another key.`,
    )
  }

  private typesOf(protocol: string | null): readonly string[] {
    // Of a protocol that this version does not know nothing is known either.
    return (protocol === null ? undefined : this.options.types.get(protocol)) ?? COMMAND_TYPES
  }

  private checkType(type: string, protocol: string | null): void {
    const types = this.typesOf(protocol)
    if (types.includes(type)) return
    throw new ApiError(
      422,
      'command-unsupported',
      types.length === 0
        ? `The device speaks ${protocol}, which takes no commands.`
        : `The device speaks ${protocol}, which cannot say ${type}; it can say ${types.join(', ')}.`,
    )
  }

  private async checkQueue(client: pg.ClientBase, deviceId: number): Promise<void> {
    const { queuedPerDeviceMax, onQueueFull } = this.options
    const { rows } = await client.query<{ count: number }>(
      "SELECT count(*) FROM commands WHERE device_id = $1 AND state = 'queued' AND expires_at > now()",
      [deviceId],
    )
    if (rows[0]!.count < queuedPerDeviceMax) return
    onQueueFull()
    throw new ApiError(
      429,
      'too-many-commands',
      `${queuedPerDeviceMax} commands wait for the device; cancel some, or wait until they are sent or expire.`,
    )
  }
}

async function insert(
  client: pg.ClientBase,
  caller: AccessClaims,
  organizationId: number,
  deviceId: number,
  { type, attributes, key, expiresInS }: CommandCreate,
): Promise<Command> {
  const { rows } = await client.query<Row>(
    `INSERT INTO commands (organization_id, device_id, type, attributes, key, created_by, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) RETURNING ${COLUMNS}`,
    [organizationId, deviceId, type, JSON.stringify(attributes), key, caller.userId, expiresInS],
  )
  return itemOf(rows[0]!)
}

async function lastPosition(client: pg.ClientBase, deviceId: number): Promise<LastPosition | undefined> {
  const { rows } = await client.query<LastPosition>(
    `SELECT p.speed_kmh AS "speedKmh", d.adapter AS protocol, p.fix_time AS "fixTime"
     FROM last_positions($1) p LEFT JOIN decoders d ON d.id = p.decoder`,
    [[deviceId]],
  )
  return rows[0]
}

function itemOf(row: Row): Command {
  return {
    ...row,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
    sentAt: row.sentAt?.toISOString() ?? null,
    answeredAt: row.answeredAt?.toISOString() ?? null,
  }
}
