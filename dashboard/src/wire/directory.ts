/** Reads devices and their stored positions from the API, page after page. */
import type { Device as DeviceRecord } from '../../../schemas/device.ts'
import type { Position } from '../../../schemas/position.ts'
import { serverNowMs } from './clock.ts'
import type { Session } from './session.ts'

/** What the page shows of a device. */
export type Device = Pick<DeviceRecord, 'id' | 'uniqueId' | 'name' | 'model' | 'disabled'>

/** A page of a list of the API. */
export interface Page<Item> {
  readonly items: Item[]
  readonly next: string | null
}

const DEVICE_PAGE = 100
/** 100,000 devices; of a larger fleet, some stay without their names. */
const DEVICE_PAGES_MAX = 1000
const POSITION_PAGE = 1000
/** 20,000 positions: an hour at more than five a second. */
const POSITION_PAGES_MAX = 20
const HOUR_MS = 3_600_000

/**
 * All devices that the session may see.
 * @param onPage Called with each page as it comes, so that a large fleet shows early.
 * @returns Whether these were all.
 * @throws RequestError
 */
export async function readDevices(session: Session, onPage: (devices: Device[]) => void): Promise<boolean> {
  return readPages<Device>(session, '/api/v1/devices', { limit: DEVICE_PAGE }, DEVICE_PAGES_MAX, onPage)
}

/**
 * Positions of a device in the last hour, oldest first, without those that have no place or are doubted.
 * @throws RequestError
 */
export async function readLastHour(session: Session, device: number): Promise<Position[]> {
  const positions: Position[] = []
  const now = serverNowMs()
  const query = {
    from: new Date(now - HOUR_MS).toISOString(),
    to: new Date(now + 60_000).toISOString(),
    limit: POSITION_PAGE,
  }
  await readPages<Position>(
    session,
    `/api/v1/devices/${device}/positions`,
    query,
    POSITION_PAGES_MAX,
    (page) => {
      for (const position of page) {
        if (position.latitude !== null && position.longitude !== null && position.quality.length === 0) {
          positions.push(position)
        }
      }
    },
  )
  return positions.sort((a, b) => a.fixTime.localeCompare(b.fixTime))
}

/**
 * Reads a list of the API page after page.
 * @returns Whether its end was reached within `pagesMax` pages.
 * @throws RequestError
 */
export async function readPages<Item>(
  session: Session,
  path: string,
  query: Record<string, string | number>,
  pagesMax: number,
  onPage: (items: Item[]) => void,
): Promise<boolean> {
  let cursor: string | null = null
  for (let page = 0; page < pagesMax; page++) {
    const parameters = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]))
    if (cursor !== null) parameters.set('cursor', cursor)
    const answer: Page<Item> = await session.get<Page<Item>>(`${path}?${parameters}`)
    onPage(answer.items)
    cursor = answer.next
    if (cursor === null) return true
  }
  return false
}
