/**
 * MQTT broker for devices: it takes positions and forwards nothing. A device may publish only under its own name,
 * which is its user name, or its client id where it gives none; the PUBACK follows the store.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { Aedes, type Client, type PublishPacket } from 'aedes'
import type { Adapter } from '../device-adapters/adapter.ts'
import { mqttFrame } from '../device-adapters/requests.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { RegisteredDevice } from './devices.ts'
import type { Intake, Receipt } from './intake.ts'
import { addressOfSocket, bindServer, type ListenAddress, type Listener } from './listener.ts'
import { MqttGuard } from './mqtt-guard.ts'

/** Name of the broker in PROTOCOLS, in log lines and metrics. */
export const MQTT = 'mqtt'

const CONNECT_TIMEOUT_MS = 10_000
const TOPIC_BYTES_MAX = 512
/** Longest time without a packet that a device may ask for, s. */
const KEEP_ALIVE_LIMIT_S = 3_600
/** Messages of one connection in work at a time. */
const QUEUE_LIMIT = 100

/** Who a connection says it is. */
interface Identity {
  readonly name: string
  readonly passwordHash: Buffer | undefined
}

/** @throws ListenError if the port cannot be had. */
export async function listenMqtt(
  adapters: readonly Adapter[],
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<Listener> {
  const { metrics, limits } = intake
  const routes = adapters.flatMap((adapter) =>
    (adapter.listen.mqtt ?? []).map((filter) => ({ adapter, filter })),
  )
  const packetBytesMax = Math.max(...adapters.map((adapter) => adapter.maxFrameBytes)) + TOPIC_BYTES_MAX
  const identities = new WeakMap<Client, Identity>()
  const labels = { protocol: MQTT, transport: 'mqtt' }

  const refuse = (code: string, message: string) => {
    metrics.faults.inc({ protocol: MQTT, code })
    return new Error(message)
  }

  const publish = (client: Client, packet: PublishPacket, done: (error?: Error) => void) => {
    const { name, passwordHash } = identities.get(client)!
    const route = routes.find(({ filter }) => ownTopic(filter, packet.topic, name))
    if (route === undefined) {
      done(refuse('foreign-topic', `"${name}" may not publish to "${packet.topic}"`))
      return
    }
    const { adapter } = route
    const from = addressOfSocket(client.conn as Socket)
    // A device is named by its own name or by the topic that holds it, whatever the message says.
    const own = [name, packet.topic]
    if (!own.every((uniqueId) => secretFits(intake.find(uniqueId), passwordHash))) {
      done(refuse('wrong-password', `wrong password of device "${name}"`))
      return
    }
    const session = intake.open(adapter, 'mqtt', (uniqueId) => own.includes(uniqueId))
    const frame = mqttFrame({ topic: packet.topic, payload: Buffer.from(packet.payload) })
    const take = () => {
      if (client.closed) return
      const accepted = intake.accept(adapter, session, frame, from, (stored) => {
        // Without a PUBACK the device sends again.
        done(stored ? undefined : refuse('not-stored', 'the database refused the message'))
        if (stored && packet.qos > 0) metrics.replies.inc({ protocol: adapter.id })
      })
      const settle = (receipt: Receipt) => {
        if (receipt.kind === 'fault') done(receipt.error)
        else if (receipt.kind === 'unknown') done(new Error(`device "${name}" is not registered`))
        else if (receipt.kind === 'session') done()
      }
      if (accepted instanceof Promise) void accepted.then(settle)
      else settle(accepted)
    }
    if (intake.hasRoom) take()
    else intake.whenRoom(take)
  }

  const broker = await Aedes.createBroker({
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepaliveLimit: KEEP_ALIVE_LIMIT_S,
    queueLimit: QUEUE_LIMIT,
    maxClientsIdLength: limits.uniqueIdLengthMax,
    authenticate: (client, username, password, done) => {
      const name = username ?? client.id
      identities.set(client, {
        name,
        passwordHash: password === undefined ? undefined : createHash('sha256').update(password).digest(),
      })
      done(null, true)
    },
    authorizePublish: (client, packet, done) => {
      // Nobody may subscribe, so there is nobody to keep a message for.
      packet.retain = false
      // A will comes without a client that could be asked who it is.
      if (client === null || !identities.has(client)) done(refuse('foreign-topic', 'no client'))
      else publish(client, packet, done)
    },
    authorizeSubscribe: (_, __, done) => done(null, null),
  })
  // Faults are counted where they are found; the connection is closed by the broker.
  broker.on('clientError', () => undefined)
  broker.on('connectionError', () => metrics.faults.inc({ protocol: MQTT, code: 'malformed' }))

  const open = new Set<Socket>()
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    if (!count.add()) {
      socket.destroy()
      return
    }
    metrics.connections.inc(labels)
    open.add(socket)
    const guard = new MqttGuard(packetBytesMax)
    const emit = socket.push.bind(socket)
    // In front of the broker, which reads the socket itself.
    socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk instanceof Buffer && !guard.passes(chunk)) {
        metrics.faults.inc({ protocol: MQTT, code: 'too-large' })
        socket.destroy()
        return false
      }
      return emit(chunk, encoding)
    }
    socket.setTimeout(limits.idleTimeoutMs, () => socket.destroy())
    socket.on('error', () => undefined)
    socket.on('close', () => {
      open.delete(socket)
      count.remove()
      metrics.connections.dec(labels)
    })
    broker.handle(socket)
  })
  const port = await bindServer(server, MQTT, address, metrics)
  return {
    protocol: MQTT,
    transport: 'mqtt',
    host: address.host,
    port,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      await new Promise<void>((resolve) => broker.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

/** Whether `topic` fits `filter` with `name` in the place of its first `+`. */
export function ownTopic(filter: string, topic: string, name: string): boolean {
  const wanted = filter.split('/')
  const given = topic.split('/')
  if (wanted.length !== given.length) return false
  let named = false
  return wanted.every((level, i) => {
    if (level !== '+') return level === given[i]
    if (named) return given[i] !== ''
    named = true
    return given[i] === name && name !== ''
  })
}

/** Whether the password fits the device, where it has one. */
function secretFits(device: RegisteredDevice | undefined, passwordHash: Buffer | undefined): boolean {
  if (device === undefined || device.secretHash === null) return true
  return passwordHash !== undefined && timingSafeEqual(passwordHash, device.secretHash)
}
