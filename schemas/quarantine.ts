/** Quarantine: what unknown devices sent, and frames that could not be read. */
import { z } from 'zod'
import { UniqueId } from './device.ts'
import { Id, line, Time } from './text.ts'

/** At most this much of a frame is shown, bytes. */
export const QUARANTINE_FRAME_BYTES_MAX = 1024

export const QuarantineEntry = z
  .object({
    protocol: z.string(),
    uniqueId: z.string().describe('empty where the frame names no device'),
    reason: z.string().describe('`unknown-device`, `undetected`, or the code of the decode error'),
    detail: z
      .string()
      .describe('the reason in words, such as which protocols an undetected stream looks like'),
    firstSeen: Time,
    lastSeen: Time,
    frameCount: z.int().min(1),
    lastAddress: z.string(),
    lastFrame: z.string().describe(`hex; at most the first ${QUARANTINE_FRAME_BYTES_MAX} bytes`),
    lastFrameBytes: z.int().min(0).describe('length of the whole frame, bytes'),
  })
  .meta({ id: 'QuarantineEntry' })
export type QuarantineEntry = z.infer<typeof QuarantineEntry>

export const QuarantineClaim = z
  .strictObject({ protocol: line(1, 64), uniqueId: UniqueId, organizationId: Id, name: line(1, 200) })
  .meta({ id: 'QuarantineClaim' })
