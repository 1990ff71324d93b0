/**
 * What clients have on their maps, against what they should: random moves, late rows, other scopes, groups and owners of
 * devices, slow sockets and broken connections.
 */
import { expect, test } from 'vitest'
import { Viewer } from './area-viewer-fixture.ts'
import { type Device, GROUPS, ORGANIZATIONS, World } from './area-views-fixture.ts'

const DEVICES = 40
const VIEWERS = 14
const STEPS = 300
/** Longer than the interval of those who want few rows. */
const INTERVAL_MS = 2

test.each(Array.from({ length: 12 }, (_, seed) => seed))(
  'maps show what they should, whatever happened (seed %d)',
  async (seed) => {
    const world = new World(seed)
    for (let i = 0; i < DEVICES; i++) world.setDevice(randomDevice(world))
    const viewers = Array.from({ length: VIEWERS }, (_, i) => {
      const organizationId = i % 5 === 0 ? null : world.any(ORGANIZATIONS)
      const viewer = new Viewer(world, organizationId, world.scope(), i % 4 === 3 ? INTERVAL_MS : undefined)
      viewer.connect()
      return viewer
    })
    for (let step = 0; step < STEPS; step++) {
      await happen(world, viewers)
      if (step % 25 !== 24) continue
      for (const viewer of viewers) if (!viewer.connected) comeBack(viewer)
      for (const viewer of viewers) viewer.drain()
      await settle(world, viewers)
      for (const [i, viewer] of viewers.entries()) {
        const shown = new Map(
          [...viewer.shown].map(([id, { latitude, longitude }]) => [id, [latitude, longitude]]),
        )
        expect(sorted(shown), `seed ${seed}, step ${step}, viewer ${i}, ${viewer.scope.text}`).toEqual(
          sorted(viewer.expected()),
        )
      }
    }
  },
)

async function happen(world: World, viewers: readonly Viewer[]): Promise<void> {
  const dice = world.random()
  const connected = viewers.filter((viewer) => viewer.connected)
  if (dice < 0.4) world.commit()
  else if (dice < 0.6) world.tick()
  else if (dice < 0.72 && connected.length > 0) world.any(connected).move(world.scope())
  else if (dice < 0.77) world.any(viewers).room = world.int(3)
  else if (dice < 0.82) world.any(viewers).drain()
  else if (dice < 0.87) world.any(viewers).disconnect()
  else if (dice < 0.92) comeBack(world.any(viewers))
  else if (connected.length === viewers.length) await changeWhatIsWatched(world)
  if (world.random() < 0.1) await new Promise((resolve) => setImmediate(resolve))
}

/** Who is away does not hear of it: then it does not happen. */
async function changeWhatIsWatched(world: World): Promise<void> {
  const dice = world.random()
  const device = world.any([...world.devices.values()])
  if (dice < 0.3) await world.setGeofence()
  else if (dice < 0.6) world.setDevice({ ...device, groups: randomGroups(world) })
  else if (dice < 0.75) world.setDevice({ ...device, disabled: !device.disabled })
  else if (dice < 0.9) world.setDevice({ ...device, organizationId: world.any(ORGANIZATIONS) })
  else {
    world.removeDevice(device)
    world.setDevice(randomDevice(world))
  }
}

function comeBack(viewer: Viewer): void {
  if (viewer.connected) return
  // What a scope that others change meant in between is not known: it begins anew.
  if (viewer.scope.changes) viewer.cursor = undefined
  viewer.connect()
}

/** Until everybody has got all there is. */
async function settle(world: World, viewers: readonly Viewer[]): Promise<void> {
  while (viewers.some(({ caughtUp }) => !caughtUp)) {
    await new Promise((resolve) => setImmediate(resolve))
    world.tick()
  }
  await new Promise((resolve) => setTimeout(resolve, 2 * INTERVAL_MS))
  world.tick()
}

function randomDevice(world: World): Device {
  const id = world.nextDevice++
  const organizationId = world.any(ORGANIZATIONS)
  return { id, organizationId, disabled: false, groups: randomGroups(world), last: undefined }
}

function randomGroups(world: World): number[] {
  return GROUPS.filter(() => world.random() < 0.4)
}

function sorted<Value>(map: ReadonlyMap<number, Value>): [number, Value][] {
  return [...map].sort(([a], [b]) => a - b)
}
