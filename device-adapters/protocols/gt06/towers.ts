/** Messages of devices that have no fix: cell towers and Wi-Fi access points around. */
import { wideAlert } from './alarms.ts'
import { LTE, readCell, readOperator } from './blocks.ts'
import type { AccessPoint, Block, CellTower, Message } from './message.ts'

/** Serving cell and six neighbours. */
const CELLS = 7

/** How a list of cells is laid out. */
interface CellList {
  readonly cid?: 3 | 4
  readonly lte?: boolean
  /** Cells of the list where the message does not count them. */
  readonly count?: number
  /** The message counts its cells. */
  readonly counted?: boolean
  readonly mnc?: 1 | 2
  /** Timing advance u8 stands before the list, not after it. */
  readonly advanceFirst?: boolean
  readonly wifi?: boolean
}

/** Country, network, cells with their signal, timing advance u8; then, with `wifi`, access points. */
export function cells(list: CellList = {}): Block {
  return (message) => {
    if (list.advanceFirst) message.skip(1)
    const { mcc, mnc } = readOperator(message, list.mnc)
    const count = list.counted ? message.u8() : (list.count ?? CELLS)
    const towers = readCells(message, list, mcc, mnc, count)
    if (!list.advanceFirst && message.left > 0) message.skip(1)
    message.setNetwork(towers, list.wifi && message.left > 0 ? readWifi(message) : [])
  }
}

/** Message 0xA9: cells that it counts, after whether they are of 4G; access points; alert. */
export const wifiAlarm: Block = (message) => {
  const { mcc, mnc } = readOperator(message)
  const lte = message.u8() > 0
  const towers = readCells(message, { lte }, mcc, mnc, message.u8())
  message.skip(1)
  message.setNetwork(towers, readWifi(message))
  wideAlert(message)
}

/**
 * Messages 0x17 and 0x69: date as BCD; access points, as many as the length field says; cells that it counts.
 * Signals are dBm without their sign.
 */
export const wifiBcd: Block = (message) => {
  message.withoutFix(message.dateBcd())
  const wifi: AccessPoint[] = []
  for (let left = message.frame[2]!; left > 0; left--) wifi.push({ mac: message.mac(), rssi: -message.u8() })
  const count = message.u8()
  const operator = { mcc: message.u16(), mnc: message.u8() }
  const towers: CellTower[] = []
  for (let left = count; left > 0; left--) {
    towers.push({ ...operator, lac: message.u16(), cid: message.u16(), rssi: -message.u8() })
  }
  message.setNetwork(towers, wifi)
}

/** Message 0xF3: access points that it counts, each after two bytes. */
export const wifiScan: Block = (message) => {
  const wifi: AccessPoint[] = []
  for (let left = message.u8(); left > 0; left--) {
    message.skip(2)
    wifi.push({ mac: message.mac() })
  }
  message.setNetwork([], wifi)
}

/** Signals are dBm without their sign. Places that the list does not fill have area code 0. */
function readCells(message: Message, list: CellList, mcc: number, mnc: number, count: number): CellTower[] {
  const widths = list.lte ? LTE : { cid: list.cid ?? 3 }
  const cellBytes = (list.lte ? 12 : 2 + (list.cid ?? 3)) + 1
  const towers: CellTower[] = []
  for (let left = count; left > 0 && message.left >= cellBytes; left--) {
    const tower = { ...readCell(message, widths, mcc, mnc), rssi: -message.u8() }
    if (tower.lac > 0) towers.push(tower)
  }
  return towers
}

function readWifi(message: Message): AccessPoint[] {
  const wifi: AccessPoint[] = []
  for (let left = message.u8(); left > 0; left--) wifi.push({ mac: message.mac(), rssi: -message.u8() })
  return wifi
}
