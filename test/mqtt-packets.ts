/** MQTT 3.1.1 packets by hand, also such as no client library makes. */

/** @param head Type and flags. */
export function mqttPacket(head: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const length: number[] = []
  let rest = body.length
  do {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from([head, ...length]), body])
}

export interface Connect {
  readonly clientId: string
  readonly username?: string
  readonly password?: string
  /** Asks for a session that outlives the connection. */
  readonly session?: boolean
  readonly will?: { readonly topic: string; readonly payload: Buffer }
}

export function connectPacket({ clientId, username, password, session, will }: Connect): Buffer {
  const flags =
    (username === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40) |
    (will === undefined ? 0 : 0x04) |
    (session ? 0 : 0x02)
  return mqttPacket(
    0x10,
    Buffer.concat([
      sized('MQTT'),
      // Level 4; flags; keep alive of 60 s.
      Buffer.from([4, flags, 0, 60]),
      sized(clientId),
      ...(will === undefined ? [] : [sized(will.topic), sized(will.payload)]),
      ...(username === undefined ? [] : [sized(username)]),
      ...(password === undefined ? [] : [sized(password)]),
    ]),
  )
}

/** A PUBLISH with message id 1, where its QoS has one. */
export function publishPacket(topic: string, payload: Buffer | string, qos: 0 | 1 | 2 = 0): Buffer {
  const messageId = qos === 0 ? [] : [Buffer.from([0, 1])]
  return mqttPacket(0x30 | (qos << 1), Buffer.concat([sized(topic), ...messageId, Buffer.from(payload)]))
}

function sized(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}
