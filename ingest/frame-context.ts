/**
 * What a frame has to be decoded with when its connection is long gone: kept beside it in the journal, so that a
 * frame can be read again without its session and without the device registry.
 */
import type { Adapter, KnownDevice, Transport } from '../device-adapters/adapter.ts'
import { DeviceSession } from '../device-adapters/decoder.ts'
import type { RegisteredDevice } from './devices/devices.ts'
import type { FrameTallies } from './metrics.ts'

export interface FrameContext {
  /** Adapter's id. */
  readonly adapter: string
  readonly transport: Transport
  /** Name of the session's device. */
  readonly uniqueId: string
  readonly device: KnownDevice
  /** See `Session.dialect`. */
  readonly dialect: string
  /** Of a frame with positions of several devices: their ids by name. */
  readonly owners: ReadonlyMap<string, number>
}

type Tuple = [string, Transport, string, string, KnownDevice['options'], string, [string, number][]]

export function encodeContext(context: FrameContext): Buffer {
  const { adapter, transport, uniqueId, device, dialect, owners } = context
  const tuple: Tuple = [adapter, transport, uniqueId, device.model, device.options, dialect, [...owners]]
  return Buffer.from(JSON.stringify(tuple))
}

/** @throws SyntaxError for bytes that are none of {@link encodeContext}. */
export function parseContext(bytes: Buffer): FrameContext {
  const [adapter, transport, uniqueId, model, options, dialect, owners] = JSON.parse(
    bytes.toString(),
  ) as Tuple
  return { adapter, transport, uniqueId, device: { model, options }, dialect, owners: new Map(owners) }
}

const NO_OWNERS: ReadonlyMap<string, number> = new Map()
const NOBODY: KnownDevice = { model: '', options: {} }

/** A session that knows the context of its frames, which is made once and not for each, and where they are counted. */
export class IntakeSession extends DeviceSession<RegisteredDevice> {
  readonly tallies: FrameTallies
  private readonly adapterId: string
  private bytes: Buffer | undefined
  private bytesUniqueId = ''
  private bytesDialect = ''
  private bytesDevice: RegisteredDevice | undefined

  constructor(
    adapter: Adapter,
    transport: Transport,
    tallies: FrameTallies,
    find: (uniqueId: string) => RegisteredDevice | undefined,
  ) {
    super(adapter, transport, find)
    this.tallies = tallies
    this.adapterId = adapter.id
  }

  /** Of frames whose positions are all of the session's device. */
  context(): Buffer {
    const { uniqueId, dialect, device } = this
    if (
      this.bytes === undefined ||
      this.bytesDevice !== device ||
      this.bytesUniqueId !== uniqueId ||
      this.bytesDialect !== dialect
    ) {
      this.bytes = this.contextWith(NO_OWNERS)
      this.bytesDevice = device
      this.bytesUniqueId = uniqueId
      this.bytesDialect = dialect
    }
    return this.bytes
  }

  /** Of a frame with positions of several devices. */
  contextWith(owners: ReadonlyMap<string, number>): Buffer {
    const { adapterId: adapter, transport, uniqueId, dialect, device = NOBODY } = this
    return encodeContext({ adapter, transport, uniqueId, device, dialect, owners })
  }
}
