/** Frames of the journal to positions, as they were decoded when they came in: the way of recovery and `reprocess`. */
import { type Adapter, DecodeError, type KnownDevice } from '../../device-adapters/adapter.ts'
import { DeviceSession, decodeFrame } from '../../device-adapters/decoder.ts'
import { loadAdapters } from '../../device-adapters/registry.ts'
import { PositionBatch } from '../../schemas/position-batch.ts'
import { type FrameContext, parseContext } from '../frame-context.ts'
import type { JournalRecord } from '../journal/journal.ts'

/** Contexts that are kept parsed, and bytes of them; a device has one or two, a gateway one for each set of devices. */
const CONTEXTS_MAX = 20_000
const CONTEXT_BYTES_MAX = 4 * 1024 * 1024

export class JournalDecoder {
  private readonly adapters: ReadonlyMap<string, Adapter>
  private readonly decoders: ReadonlyMap<string, number>
  private readonly contexts = new Map<string, FrameContext>()
  private contextBytes = 0
  private readonly several = new PositionBatch(256)

  /** A decoder with the adapters of this version. */
  static async load(decoders: ReadonlyMap<string, number>): Promise<JournalDecoder> {
    return new JournalDecoder(await loadAdapters(), decoders)
  }

  /** @param decoders Id of the version of each adapter, see decoders.ts. */
  constructor(adapters: ReadonlyMap<string, Adapter>, decoders: ReadonlyMap<string, number>) {
    this.adapters = adapters
    this.decoders = decoders
  }

  /**
   * Appends the positions of a record to `out`, those of devices that are wanted.
   * @param now What is known of the device now, if that is to count and not what was known when the frame came in.
   * @throws DecodeError if this version cannot read the frame any more; nothing of it is appended then.
   */
  decode(
    record: JournalRecord,
    out: PositionBatch,
    wants: (device: number) => boolean,
    now?: KnownDevice,
  ): void {
    const context = this.contextOf(record)
    const adapter = this.adapters.get(context.adapter)
    if (adapter === undefined) {
      throw new DecodeError('unsupported', `this version has no adapter "${context.adapter}"`)
    }
    const { uniqueId } = context
    const device = now ?? context.device
    const session = new DeviceSession<KnownDevice>(adapter, context.transport, (name) =>
      name === uniqueId ? device : undefined,
    )
    session.uniqueId = uniqueId
    session.device = device
    session.dialect = context.dialect
    session.receivedMs = record.receivedMs
    const decoder = this.decoders.get(adapter.id) ?? 0
    const single = record.device !== 0
    const to = single ? out : this.several
    if (!single) to.reset()
    const start = to.length
    try {
      decodeFrame(adapter, record.frame, session, to)
    } catch (error) {
      throw DecodeError.of(error)
    }
    to.decoder.fill(decoder, start, to.length)
    if (single) to.device.fill(record.device, start, to.length)
    else appendWanted(to, out, context, wants)
  }

  contextOf(record: JournalRecord): FrameContext {
    const key = record.context.toString('latin1')
    let context = this.contexts.get(key)
    if (context === undefined) {
      context = parseContext(record.context)
      if (this.contexts.size === CONTEXTS_MAX || this.contextBytes > CONTEXT_BYTES_MAX) {
        this.contexts.clear()
        this.contextBytes = 0
      }
      this.contexts.set(key, context)
      this.contextBytes += key.length
    }
    return context
  }
}

function appendWanted(
  from: PositionBatch,
  to: PositionBatch,
  { uniqueId, owners }: FrameContext,
  wants: (device: number) => boolean,
): void {
  for (let row = 0; row < from.length; row++) {
    const owner = owners.get(from.uniqueIdOf(row) ?? uniqueId)
    if (owner === undefined || !wants(owner)) continue
    from.device[row] = owner
    to.appendFrom(from, row, row + 1)
  }
}
