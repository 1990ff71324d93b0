/** What a user writes into a command is sent as it is, or not at all: no text is more than one command, or another one. */
import { describe, expect, test } from 'vitest'
import { COMMANDS, type CommandType } from '../schemas/command.ts'
import { CommandError, type Reply, type Session } from './adapter.ts'
import { DeviceSession, toBuffer } from './decoder.ts'
import { loadAdapters } from './registry.ts'

/** What texts may be needed beside the one that is tried. */
const ATTRIBUTES = { index: 1, data: '1', phone: '+4912345', message: 'hello', language: 1 }

/** Beyond Latin-1, with the ends of lines and the brackets, commas and dollars of frames as their last bytes. */
const BEYOND_LATIN_1 = [
  '\u010a',
  '\u010d',
  '\u0100',
  '\u0124',
  '\u0128',
  '\u0129',
  '\u012c',
  '\u015d',
  '\u202a',
]

for (const [id, adapter] of await loadAdapters()) {
  describe.runIf(adapter.commands !== undefined)(id, () => {
    const types = Object.keys(adapter.commands ?? {}) as CommandType[]
    const encode = (type: CommandType, attributes: object): Buffer | undefined => {
      const session = new DeviceSession(adapter, 'tcp', () => ({ model: '', options: {} }))
      session.identify('123456789012345')
      const encoder = adapter.commands![type] as (attributes: object, session: Session<unknown>) => Reply
      try {
        return toBuffer(encoder(attributes, session as Session<unknown>))
      } catch (error) {
        if (error instanceof CommandError) return undefined
        throw error
      }
    }

    test('sends no character as another one', () => {
      for (const type of types) {
        for (const field of Object.keys(COMMANDS[type].shape)) {
          for (const character of BEYOND_LATIN_1) {
            const parsed = COMMANDS[type].safeParse({ ...pick(type), [field]: `a${character}b` })
            if (!parsed.success) continue
            const bytes = encode(type, parsed.data)
            const other = Buffer.from(`a${character}b`, 'latin1')
            expect(bytes?.includes(other) ?? false, `${type} ${field} ${JSON.stringify(character)}`).toBe(
              false,
            )
          }
        }
      }
    })
  })
}

function pick(type: CommandType): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(ATTRIBUTES).filter(([name]) => Object.hasOwn(COMMANDS[type].shape, name)),
  )
}
