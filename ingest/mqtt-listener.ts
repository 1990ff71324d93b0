/**
 * MQTT broker for devices: it takes positions and forwards nothing. A device may publish only under its own name,
 * which is its user name, or its client id where it gives none; the PUBACK follows the store.
 *
 * Nobody may subscribe, so there is nothing to keep for anybody: neither retained messages nor wills nor sessions.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { Aedes, type Client, type ConnectPacket, type PublishPacket } from 'aedes'
import { type Adapter, DecodeError } from '../device-adapters/adapter.ts'
import { mqttFrame } from '../device-adapters/requests.ts'
import type { ConnectionCount } from './connection-count.ts'
import type { RegisteredDevice } from './devices.ts'
import type { Intake, Receipt } from './intake.ts'
import { addressOfSocket, bindServer, type ListenAddress, type Listener } from './listener.ts'
import { type MqttFault, MqttGuard } from './mqtt-guard.ts'

/** Name of the broker in PROTOCOLS, in log lines and metrics. */
export const MQTT = 'mqtt'

const CONNECT_TIMEOUT_MS = 10_000
const TOPIC_BYTES_MAX = 512
/** Longest time without a packet that a device may ask for, s. */
const KEEP_ALIVE_LIMIT_S = 3_600
/** Messages of one connection in work at a time. */
const QUEUE_LIMIT = 100
const NO_BYTES = Buffer.alloc(0)
const CONTROL_CHARACTER = /\p{Cc}/u

/** CONNACK, MQTT 3.1.1, section 3.2.2.3. */
const IDENTIFIER_REJECTED = 2
const BAD_USER_NAME_OR_PASSWORD = 4
/** The broker's words for connections that ended without a fault of the device. */
const TIMEOUTS: ReadonlySet<string> = new Set(['keep alive timeout', 'drain timeout', 'connection closed'])
const CONNECT_TIMEOUT = 'connect did not arrive in time'

/** What is known of a connection. */
interface DeviceConnection {
  readonly address: string
  /** What came last, as much as the quarantine keeps; nothing of a CONNECT, which may hold a password. */
  lastBytes: Buffer
  /** Who it says it is; '' before CONNECT. */
  name: string
  passwordHash: Buffer | undefined
  /** Messages that wait for room. */
  readonly waiting: Set<() => void>
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
  const open = new Map<Socket, DeviceConnection>()
  const connectionOf = (client: Client) => open.get(client.conn as Socket)
  /** Errors that were counted where they were found. */
  const counted = new WeakSet<Error>()
  const labels = { protocol: MQTT, transport: 'mqtt' }

  const known = <Known extends Error>(error: Known): Known => {
    counted.add(error)
    return error
  }
  const refuse = (code: string, message: string, bytes: Buffer, connection: DeviceConnection) => {
    intake.reject(MQTT, code, bytes, connection.address, connection.name)
    return known(new Error(message))
  }

  const publish = (connection: DeviceConnection, packet: PublishPacket, done: (error?: Error) => void) => {
    const { name, passwordHash, waiting } = connection
    const { topic } = packet
    const frame = mqttFrame({ topic, payload: Buffer.from(packet.payload) })
    // Nobody gets the message, but the broker keeps one of QoS 2 until it is released.
    packet.payload = NO_BYTES
    const route = routes.find(({ filter }) => ownTopic(filter, topic, name))
    if (route === undefined || CONTROL_CHARACTER.test(topic)) {
      done(refuse('foreign-topic', `"${name}" may not publish to "${topic}"`, frame, connection))
      return
    }
    const { adapter } = route
    // A device is named by its own name or by the topic that holds it, whatever the message says.
    const own = [name, topic]
    if (!own.every((uniqueId) => secretFits(intake.find(uniqueId), passwordHash))) {
      done(refuse('wrong-password', `wrong password of device "${name}"`, frame, connection))
      return
    }
    const session = intake.open(adapter, 'mqtt', (uniqueId) => own.includes(uniqueId))
    const take = () => {
      waiting.delete(take)
      const accepted = intake.accept(adapter, session, frame, connection.address, (stored) => {
        // Without a PUBACK the device sends again.
        done(stored ? undefined : known(new Error('the database refused the message')))
        if (stored && packet.qos > 0) metrics.replies.inc({ protocol: adapter.id })
      })
      const settle = (receipt: Receipt) => {
        if (receipt.kind === 'fault') done(receipt.error)
        else if (receipt.kind === 'unknown') done(known(new Error(`device "${name}" is not registered`)))
        else if (receipt.kind === 'session') done()
      }
      if (accepted instanceof Promise) void accepted.then(settle)
      else settle(accepted)
    }
    if (intake.hasRoom) take()
    else {
      waiting.add(take)
      intake.whenRoom(take)
    }
  }

  const broker = await Aedes.createBroker({
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepaliveLimit: KEEP_ALIVE_LIMIT_S,
    queueLimit: QUEUE_LIMIT,
    maxInflightInbound: QUEUE_LIMIT,
    maxClientsIdLength: 2 * limits.uniqueIdLengthMax + 1,
    preConnect: (client, packet, done) => {
      const connection = connectionOf(client)
      if (connection !== undefined) {
        connection.name = packet.username || packet.clientId
        forgetSession(packet, connection.name, limits.uniqueIdLengthMax)
      }
      done(null, connection !== undefined)
    },
    authenticate: (client, _, password, done) => {
      const connection = connectionOf(client)
      if (connection === undefined) {
        done(null, false)
        return
      }
      const { name } = connection
      connection.passwordHash =
        password === undefined ? undefined : createHash('sha256').update(password).digest()
      const deny = (returnCode: number, code: string, message: string) => {
        done(Object.assign(refuse(code, message, NO_BYTES, connection), { returnCode }), false)
      }
      if (name === '' || name.length > limits.uniqueIdLengthMax || CONTROL_CHARACTER.test(name)) {
        deny(IDENTIFIER_REJECTED, 'malformed', 'no name that a device can have')
      } else if (!secretFits(intake.find(name), connection.passwordHash)) {
        deny(BAD_USER_NAME_OR_PASSWORD, 'wrong-password', `wrong password of device "${name}"`)
      } else done(null, true)
    },
    authorizePublish: (client, packet, done) => {
      packet.retain = false
      const connection = client === null ? undefined : connectionOf(client)
      if (connection === undefined) done(known(new Error('the connection is gone')))
      else publish(connection, packet, done)
    },
    authorizeSubscribe: (_, __, done) => done(null, null),
  })
  const onError = (client: Client, error: NodeJS.ErrnoException) => {
    // Errors with a code are the network's, where a device hung up.
    if (error instanceof DecodeError || counted.has(error) || error.code !== undefined) return
    if (error.message === CONNECT_TIMEOUT) metrics.limits.inc({ limit: 'firstFrameTimeoutMs' })
    else if (!TIMEOUTS.has(error.message)) {
      const connection = connectionOf(client)
      if (connection !== undefined) refuse('malformed', error.message, connection.lastBytes, connection)
    }
  }
  broker.on('clientError', onError)
  broker.on('connectionError', onError)

  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
    if (!count.add()) {
      socket.destroy()
      return
    }
    metrics.connections.inc(labels)
    const connection: DeviceConnection = {
      address: addressOfSocket(socket),
      lastBytes: NO_BYTES,
      name: '',
      passwordHash: undefined,
      waiting: new Set(),
    }
    open.set(socket, connection)
    const guard = new MqttGuard(packetBytesMax)
    let fault: MqttFault | 'cut' | undefined
    const emit = socket.push.bind(socket)
    // In front of the broker, which reads the socket itself.
    socket.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (!(chunk instanceof Buffer)) return emit(chunk, encoding)
      fault = guard.check(chunk)
      if (connection.name !== '' || !guard.saysConnect) {
        connection.lastBytes = headOf(chunk, limits.quarantineFrameBytesMax)
      }
      if (fault === undefined) return emit(chunk, encoding)
      socket.destroy()
      return false
    }
    socket.setTimeout(limits.idleTimeoutMs, () => {
      metrics.limits.inc({ limit: 'idleTimeoutMs' })
      socket.destroy()
    })
    let hungUp = false
    const hangUp = () => {
      hungUp = true
    }
    socket.on('end', hangUp)
    socket.on('error', hangUp)
    socket.on('close', () => {
      if (hungUp && guard.withinPacket) fault ??= 'cut'
      if (fault !== undefined && open.has(socket)) {
        intake.reject(MQTT, fault, connection.lastBytes, connection.address, connection.name)
      }
      for (const take of connection.waiting) intake.forgetWaiting(take)
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
      const sockets = [...open.keys()]
      // What is cut now is cut by us.
      open.clear()
      await new Promise<void>((resolve) => broker.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/**
 * Takes out of a CONNECT what the broker would keep for a client that never comes back. The id becomes one of the
 * device, or any other could end its connection by using the same.
 */
function forgetSession(packet: ConnectPacket, name: string, lengthMax: number): void {
  packet.clean = true
  delete packet.will
  packet.clientId = `${name}\n${packet.clientId.slice(0, lengthMax)}`
}

/** The first bytes, which do not keep the memory of the others. */
function headOf(bytes: Buffer, bytesMax: number): Buffer {
  return bytes.length <= bytesMax ? bytes : Buffer.from(bytes.subarray(0, bytesMax))
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
  return passwordHash?.length === device.secretHash.length && timingSafeEqual(passwordHash, device.secretHash)
}
