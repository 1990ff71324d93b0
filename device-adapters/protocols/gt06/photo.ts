/** Photos of X1: the device announces one, the server asks for its parts. */
import type { Reply, Session } from '../../adapter.ts'
import { encode } from './frame.ts'
import type { Block } from './message.ts'
import type { Gt06State } from './state.ts'

const PART = 0x36
const PART_MAX_BYTES = 1024

/** Message 0x35: date, fix u8, latitude and longitude, camera, source and format u8, size u32, id u32. */
export const photoAnnounced: Block = (message) => {
  message.skip(6 + 1 + 8 + 3)
  const bytes = message.u32()
  message.session.state.photo = { id: message.u32(), bytes, received: 0 }
}

/** Message 0x36 of a long frame: id u32, offset u32, length u16, bytes. */
export const photoPart: Block = (message) => {
  const { photo } = message.session.state
  const id = message.u32()
  message.skip(4)
  const bytes = message.u16()
  message.skip(bytes)
  if (photo?.id === id) photo.received += bytes
}

/** Asks for the next part of the photo that was announced last, if one is missing. */
export function photoRequest(_: Buffer, session: Session<Gt06State>): Reply | undefined {
  const { photo } = session.state
  if (photo === undefined) return undefined
  const rest = photo.bytes - photo.received
  if (rest <= 0) {
    session.state.photo = undefined
    return undefined
  }
  const content = Buffer.alloc(10)
  content.writeUInt32BE(photo.id, 0)
  content.writeUInt32BE(photo.received, 4)
  content.writeUInt16BE(Math.min(rest, PART_MAX_BYTES), 8)
  return encode(PART, content, 0)
}
