/** `fleetflow simulate`: simulated devices on real tracks; progress on standard error, a summary as JSON on standard output. */
import { demoFile } from '../demo/files.ts'
import { simulate } from '../simulate/simulate.ts'
import { stopSignal } from './start.ts'

export interface SimulateFlags {
  readonly protocol: string
  readonly devices: number
  readonly rate: number
  readonly tracks?: string
  readonly host: string
  readonly port?: number
  readonly seconds?: number
  readonly idPrefix?: string
  readonly devicePassword?: string
}

export async function simulateDevices(flags: SimulateFlags): Promise<void> {
  const { protocol, tracks = demoFile('tracks.csv.gz'), ...options } = flags
  const stopping = new AbortController()
  void stopSignal().then(() => stopping.abort())
  const summary = await simulate({
    ...options,
    // The broker and the protocol that devices speak to it are one here.
    protocol: protocol === 'mqtt' ? 'mqtt-json' : protocol,
    tracks,
    signal: stopping.signal,
    progress: process.stderr,
  })
  process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`)
}
