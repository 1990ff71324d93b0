import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type GeofenceChanges, type NewEvent, noChanges, type Visit } from '../../geofence/visits/changes.ts'
import { GeofenceTables } from '../../test/geofence-tables.ts'
import { copyQuery } from '../shards/copy-query.ts'
import {
  appliedEvents,
  applyStatement,
  CONTRADICTION,
  contradictedDevices,
  DEVICES_LOST,
} from './geofence-store.ts'

const T0 = Date.UTC(2026, 10, 21, 8)
const NONE = Number.NaN

let tables: GeofenceTables
let pool: pg.Pool
let device: number
let fence: number

beforeAll(async () => {
  tables = await GeofenceTables.make()
  pool = tables.pool
})
afterAll(() => tables.drop())
beforeEach(async () => {
  await tables.reset()
  device = await tables.addDevice('d')
  fence = await tables.addFence([{ insideBy: { time: '08:00', days: [6] } }])
})

const at = (minutes: number) => T0 + minutes * 60_000

function visit(enteredMs: number, exitedMs = NONE, dueMs = NONE): Visit {
  return { device, geofence: fence, version: 1, enteredMs, exitedMs, dueMs }
}

function event(type: NewEvent['type'], timeMs: number, more: Partial<NewEvent> = {}): NewEvent {
  return {
    device,
    geofence: fence,
    version: 1,
    type,
    timeMs,
    fixTimeMs: timeMs,
    latitudeDeg: 0.5,
    longitudeDeg: 0.25,
    speedKmh: 67.2,
    crossing: false,
    revision: 0,
    replaces: null,
    replacesTimeMs: NONE,
    retracted: false,
    ...more,
  }
}

const apply = (changes: Partial<GeofenceChanges>, nowMs = at(600)) => tables.apply(changes, nowMs)

const visits = async () =>
  (
    await pool.query(
      `SELECT device_id, geofence_id, entered_at, exited_at, due_at, fired_at, version FROM geofence_visits
       ORDER BY entered_at`,
    )
  ).rows.map((row) => ({
    enteredMs: row.entered_at?.getTime(),
    exitedMs: row.exited_at?.getTime() ?? null,
    dueMs: row.due_at?.getTime() ?? null,
    version: row.version,
  }))

/** What a timer does, without one. */
async function fire(type: 'dwell' | 'absence', enteredMs: number, timeMs: number): Promise<void> {
  await pool.query('UPDATE geofence_visits SET due_at = NULL, fired_at = $2 WHERE entered_at = $1', [
    new Date(enteredMs),
    new Date(timeMs),
  ])
  await record(type, timeMs)
}

async function fireMissing(timeMs: number): Promise<void> {
  await pool.query('UPDATE geofence_instants SET fired_at = $1', [new Date(timeMs)])
  await record('missing', timeMs)
}

const record = async (type: string, timeMs: number): Promise<number> =>
  Number(
    await tables.insert(
      `events (event_time, device_id, geofence_id, geofence_version, type)
       VALUES ('${new Date(timeMs).toISOString()}', ${device}, ${fence}, 1, '${type}')`,
    ),
  )

const storedEvents = async () =>
  (
    await pool.query(
      'SELECT type, revision, superseded, retracted FROM events ORDER BY event_time, type, revision',
    )
  ).rows

/** Who waits for a lock. */
const waitingCount = async () =>
  (
    await pool.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
  ).rowCount

const contradicted = { code: CONTRADICTION, detail: expect.stringMatching(/^\d+$/) }

describe('changes', () => {
  it('are stored as they are, and the events come back with their ids', async () => {
    const events = await apply({
      opened: [visit(at(0), at(5), at(65)), visit(at(10), NONE, at(20))],
      events: [event('enter', at(0)), event('exit', at(5), { crossing: true }), event('enter', at(10))],
    })
    expect(events).toMatchObject([
      {
        device,
        geofence: fence,
        geofenceVersion: 1,
        type: 'enter',
        time: new Date(at(0)).toISOString(),
        fixTime: new Date(at(0)).toISOString(),
        latitude: 0.5,
        longitude: 0.25,
        speed: 67.2,
        crossing: false,
        revision: 0,
        replaces: null,
        retracted: false,
        current: true,
      },
      { type: 'exit', crossing: true },
      { type: 'enter', time: new Date(at(10)).toISOString() },
    ])
    expect(events.map(({ id }) => id)).toEqual(events.map(({ id }) => id).toSorted((a, b) => a - b))
    expect(await visits()).toEqual([
      // It came back before the absence was due.
      { enteredMs: at(0), exitedMs: at(5), dueMs: null, version: 1 },
      { enteredMs: at(10), exitedMs: null, dueMs: at(20), version: 1 },
    ])
    await apply({ changed: [{ ...visit(at(10), at(30), at(90)), version: 2 }], removed: [visit(at(0))] })
    expect(await visits()).toEqual([{ enteredMs: at(10), exitedMs: at(30), dueMs: at(90), version: 2 }])
  })

  it('are stored with the rows of a COPY, or none of both is', async () => {
    const copy = 'COPY events (event_time, device_id, geofence_id, geofence_version, type) FROM STDIN'
    const data = (line: string) => {
      const bytes = Buffer.from(`d\0\0\0\0${line}\nc\0\0\0\u0004`, 'latin1')
      bytes.writeInt32BE(line.length + 5, 1)
      return bytes
    }
    const client = await pool.connect()
    const { owner } = tables
    const changes = { ...noChanges(), opened: [visit(at(0))], events: [event('enter', at(0))] }
    const row = `2026-11-21T08:30Z\t${device}\t${fence}\t1\texit`
    const statement = (losses: number) => applyStatement(changes, { owner, losses }, at(0))
    await expect(copyQuery(client, statement(1) + copy, data(row))).rejects.toMatchObject({
      code: DEVICES_LOST,
    })
    await expect(copyQuery(client, statement(0) + copy, data('broken'))).rejects.toMatchObject({
      code: '22007',
    })
    expect([await visits(), await storedEvents()]).toEqual([[], []])
    const { rows, counts } = await copyQuery(client, statement(0) + copy, data(row))
    expect(appliedEvents(rows)).toMatchObject([{ type: 'enter', time: new Date(at(0)).toISOString() }])
    expect(counts).toEqual([1, 1, 1])
    expect(await storedEvents()).toHaveLength(2)
    const none = await copyQuery(
      client,
      applyStatement(noChanges(), { owner, losses: 0 }, 0) + copy,
      data(row.replace('30', '31')),
    )
    client.release()
    expect(appliedEvents(none.rows)).toEqual([])
  })

  it('of a geofence that is gone or disabled meanwhile, or a device that is gone, are passed over', async () => {
    const changes = { opened: [visit(at(0))], events: [event('enter', at(0))] }
    await pool.query('UPDATE geofences SET disabled = true')
    expect(await apply(changes)).toEqual([])
    await pool.query('DELETE FROM geofences')
    expect(await apply(changes)).toEqual([])
    await pool.query('DELETE FROM devices')
    expect(await apply(changes)).toEqual([])
    expect([await visits(), await storedEvents()]).toEqual([[], []])
  })

  it('mark what they correct, and find no second one that corrects it', async () => {
    const [enter] = await apply({ opened: [visit(at(0))], events: [event('enter', at(0))] })
    const correction = { revision: 1, replaces: enter!.id, replacesTimeMs: at(0) }
    const changes = {
      removed: [visit(at(0))],
      opened: [visit(at(-2))],
      events: [event('enter', at(-2), correction)],
    }
    expect(await apply(changes)).toMatchObject([{ replaces: enter!.id, revision: 1, current: true }])
    expect(await storedEvents()).toEqual([
      { type: 'enter', revision: 1, superseded: false, retracted: false },
      { type: 'enter', revision: 0, superseded: true, retracted: false },
    ])
    const again = { events: [event('enter', at(-3), { ...correction, revision: 2 })] }
    await expect(apply(again)).rejects.toMatchObject(contradicted)
  })

  it('that are stored already contradict, and name the devices', async () => {
    await apply({ opened: [visit(at(0))], events: [event('enter', at(0))] })
    const error = await apply({ opened: [visit(at(0))] }).catch((caught) => caught)
    expect(error).toMatchObject(contradicted)
    expect(contradictedDevices(error)).toEqual([device])
    await expect(apply({ events: [event('enter', at(0))] })).rejects.toMatchObject(contradicted)
  })
})

describe('a timer that was first', () => {
  it('may have made the dwell of a visit that ends after it', async () => {
    await apply({ opened: [visit(at(0), NONE, at(10))] })
    await fire('dwell', at(0), at(10))
    const events = await apply({
      changed: [visit(at(0), at(12))],
      events: [event('dwell', at(10)), event('exit', at(12))],
    })
    expect(events.map(({ type }) => type)).toEqual(['exit'])
    expect(await storedEvents()).toHaveLength(2)
  })

  it('contradicts where it made a dwell beyond the end, unless that is corrected', async () => {
    await apply({ opened: [visit(at(0), NONE, at(10))] })
    await fire('dwell', at(0), at(10))
    const changes = { changed: [visit(at(0), at(9))], events: [event('exit', at(9))] }
    await expect(apply(changes)).rejects.toMatchObject(contradicted)
    expect(await visits()).toMatchObject([{ exitedMs: null }])
    const { id } = (await pool.query('SELECT id::float8 FROM events')).rows[0]
    const retraction = event('dwell', at(10), {
      revision: 1,
      replaces: id,
      replacesTimeMs: at(10),
      retracted: true,
    })
    await apply({ ...changes, events: [...changes.events, retraction] })
    expect(await visits()).toMatchObject([{ exitedMs: at(9) }])
    // Gone with the event that it was about.
    expect((await pool.query('SELECT fired_at FROM geofence_visits')).rows).toEqual([{ fired_at: null }])
    // A dwell in the place of one that is retracted needs a revision of its own.
    await expect(apply({ events: [event('dwell', at(10))] })).rejects.toMatchObject(contradicted)
    await apply({ events: [event('dwell', at(10), { revision: 2 })] })
  })

  it('contradicts also where it commits while the changes are stored', async () => {
    await apply({ opened: [visit(at(0), NONE, at(10))] })
    const timer = await pool.connect()
    await timer.query('BEGIN')
    await timer.query('UPDATE geofence_visits SET due_at = NULL, fired_at = $1', [new Date(at(10))])
    await timer.query(
      `INSERT INTO events (event_time, device_id, geofence_id, geofence_version, type) VALUES ($1, $2, $3, 1, 'dwell')`,
      [new Date(at(10)), device, fence],
    )
    const changes = { changed: [visit(at(0), at(9))], events: [event('exit', at(9))] }
    const stored = apply(changes).catch((error) => error)
    await expect.poll(waitingCount).toBe(1)
    await timer.query('COMMIT')
    timer.release()
    expect(await stored).toMatchObject(contradicted)
    expect((await pool.query('SELECT exited_at, fired_at FROM geofence_visits')).rows).toEqual([
      { exited_at: null, fired_at: new Date(at(10)) },
    ])
  })

  it('contradicts where it made an absence after the return', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await fire('absence', at(0), at(15))
    await expect(apply({ opened: [visit(at(14))] })).rejects.toMatchObject(contradicted)
    await apply({ opened: [visit(at(15))] })
    expect(await visits()).toHaveLength(2)
  })

  it('contradicts where it made an event of a visit that ends at another time or did not happen', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await fire('absence', at(0), at(15))
    await expect(apply({ changed: [visit(at(0), at(6), at(16))] })).rejects.toMatchObject(contradicted)
    await expect(apply({ changed: [visit(at(0))] })).rejects.toMatchObject(contradicted)
    await expect(apply({ removed: [visit(at(0))] })).rejects.toMatchObject(contradicted)
    await apply({ changed: [{ ...visit(at(0), at(5)), version: 2 }] })
  })

  it('may have made an event that holds on where its visit becomes another one', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await fire('absence', at(0), at(15))
    await apply({ removed: [visit(at(0))], opened: [{ ...visit(at(-2), at(5)), firedMs: at(15) }] })
    // The other one is as if the timer had made it.
    await expect(apply({ opened: [visit(at(14))] })).rejects.toMatchObject(contradicted)
    await apply({
      changed: [visit(at(-2), at(2))],
      opened: [{ ...visit(at(3), at(5)), firedMs: at(15) }],
    })
    expect(await storedEvents()).toHaveLength(1)
  })

  it('contradicts by no other event of the same moment, as the dwell of a visit that was found later', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await fire('absence', at(0), at(15))
    const { id } = (await pool.query('SELECT id::float8 FROM events')).rows[0]
    const retraction = { revision: 1, replaces: id, replacesTimeMs: at(15), retracted: true }
    const events = [event('absence', at(15), retraction), event('dwell', at(15))]
    await apply({ opened: [visit(at(9), at(16))], events })
    expect(await storedEvents()).toEqual([
      { type: 'absence', revision: 0, superseded: true, retracted: false },
      { type: 'absence', revision: 1, superseded: false, retracted: true },
      { type: 'dwell', revision: 0, superseded: false, retracted: false },
    ])
  })

  it('contradicts once only where its absence became that of a later visit', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await fire('absence', at(0), at(15))
    const parted = { changed: [visit(at(0), at(2))], opened: [{ ...visit(at(3), at(5)), firedMs: at(15) }] }
    await apply(parted)
    await apply({ removed: [visit(at(0))], opened: [visit(at(-1), at(2))] })
    expect(await storedEvents()).toMatchObject([{ type: 'absence', superseded: false }])
  })

  it('leaves an absence to be made that was due before the return', async () => {
    await apply({ opened: [visit(at(0), at(5), at(15))] })
    await apply({ opened: [visit(at(16))] })
    expect(await visits()).toMatchObject([{ dueMs: at(15) }, { dueMs: null }])
  })

  it('contradicts where it missed a device that was inside', async () => {
    await fireMissing(at(0))
    await expect(apply({ opened: [visit(at(-1))] })).rejects.toMatchObject(contradicted)
    await expect(apply({ opened: [visit(at(0), at(1))] })).rejects.toMatchObject(contradicted)
    await apply({ opened: [visit(at(-9), at(-8)), visit(at(-5), at(0)), visit(at(1))] })
    await expect(apply({ changed: [visit(at(-5), at(0.5))] })).rejects.toMatchObject(contradicted)
    await apply({ changed: [visit(at(-5), at(-4))] })
    await expect(apply({ changed: [visit(at(-9))] })).rejects.toMatchObject(contradicted)
  })

  it('sees to a time of day that it has not come to, whatever a revision says of it', async () => {
    const day = 24 * 60
    await pool.query('UPDATE geofence_instants SET done_until = $1', [new Date(at(0))])
    const events = await apply(
      { events: [event('missing', at(0)), event('missing', at(7 * day))] },
      at(8 * day),
    )
    expect(events).toMatchObject([{ time: new Date(at(0)).toISOString() }])
    const halfDone = 'UPDATE geofence_instants SET fired_at = $1, done_device = $2'
    await pool.query(halfDone, [new Date(at(7 * day)), device - 1])
    expect(await apply({ events: [event('missing', at(7 * day))] })).toEqual([])
    await pool.query(halfDone, [new Date(at(7 * day)), device])
    expect(await apply({ events: [event('missing', at(7 * day))] })).toHaveLength(1)
  })

  it('contradicts where it took a device for inside that had left, and the evaluation did not know', async () => {
    await apply({ opened: [visit(at(-9))] })
    await pool.query('UPDATE geofence_instants SET fired_at = $1', [new Date(at(0))])
    await expect(apply({ changed: [visit(at(-9), at(-1))] }, at(-0.5))).rejects.toMatchObject(contradicted)
    await expect(apply({ removed: [visit(at(-9))] }, at(-0.5))).rejects.toMatchObject(contradicted)
    await apply({ changed: [visit(at(-9), at(-1))] }, at(0))
  })
})

describe('an edit of a geofence', () => {
  it('that disables it ends its visits without events', async () => {
    await apply({ opened: [visit(at(-30), at(-20), at(90)), visit(at(-10), NONE, at(60))] })
    await pool.query('UPDATE geofences SET disabled = true')
    const [left, open] = await visits()
    expect(left).toMatchObject({ exitedMs: at(-20), dueMs: null })
    expect(open).toMatchObject({ exitedMs: expect.any(Number), dueMs: null })
    expect(await storedEvents()).toEqual([])
    expect((await pool.query('SELECT FROM geofence_instants')).rowCount).toBe(0)
  })

  it('has a visit looked at that was found by the rules before it', async () => {
    await pool.query(`UPDATE geofences SET rules = '[{"dwellS": 10}]'`)
    await apply({ opened: [visit(at(0))] })
    expect(await visits()).toMatchObject([{ version: 1, dueMs: expect.any(Number) }])
  })

  it('of its rules has the last visit of each device looked at', async () => {
    const now = Date.now()
    await apply({ opened: [visit(now - 60_000, now - 50_000), visit(now - 40_000, now - 30_000)] })
    await pool.query(`UPDATE geofences SET name = 'renamed'`)
    expect(await visits()).toMatchObject([{ dueMs: null }, { dueMs: null }])
    await pool.query(`UPDATE geofences SET rules = '[{"absenceS": 10}]'`)
    expect(await visits()).toMatchObject([{ dueMs: null }, { dueMs: expect.any(Number) }])
  })
})
