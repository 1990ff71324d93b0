/** Cell towers and Wi-Fi access points around a device: the attribute `network`. */
import type { PositionBatch } from '../schemas/position-batch.ts'

/** `rssi` in dBm, or as the protocol has it. */
export interface CellTower {
  readonly mcc: number
  readonly mnc: number
  readonly lac: number
  readonly cid: number
  readonly rssi?: number
}

/** `rssi` in dBm. */
export interface AccessPoint {
  /** `c8:3a:35:0f:a1:b8` */
  readonly mac: string
  readonly rssi?: number
  readonly channel?: number
}

/** Sets the attribute `network`, in which each tower and access point is listed once; nothing where there is none. */
export function setNetwork(
  out: PositionBatch,
  row: number,
  cellTowers: readonly CellTower[],
  wifi: readonly AccessPoint[] = [],
  radioType: 'gsm' | 'lte' = 'gsm',
): void {
  if (cellTowers.length === 0 && wifi.length === 0) return
  out.setJson(row, 'network', {
    radioType,
    ...(cellTowers.length > 0 && { cellTowers: distinct(cellTowers) }),
    ...(wifi.length > 0 && { wifi: distinct(wifi) }),
  })
}

function distinct<Item>(items: readonly Item[]): readonly Item[] {
  if (items.length === 1) return items
  const seen = new Set<string>()
  return items.filter((item) => {
    const key = JSON.stringify(item)
    return !seen.has(key) && seen.add(key)
  })
}
