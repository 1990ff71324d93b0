/**
 * MQTT broker for devices: it takes positions and forwards nothing. A device may publish only under its own name,
 * which is its user name, or its client id where it gives none; the PUBACK follows the store.
 *
 * Nobody may subscribe, so there is nothing to keep for anybody: neither retained messages nor wills nor sessions.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { Aedes, type Client, type ConnectPacket, type PublishPacket } from 'aedes'
import { type Adapter, DecodeError } from '../../device-adapters/adapter.ts'
import { mqttFrame } from '../../device-adapters/requests.ts'
import { DeviceTraffic, type Replaceable } from '../devices/device-traffic.ts'
import type { RegisteredDevice } from '../devices/devices.ts'
import type { Intake } from '../intake.ts'
import type { LimitName } from '../limits.ts'
import type { Receipt } from '../receipt.ts'
import type { ConnectionCount } from './connection-count.ts'
import { addressOfSocket, bindServer, type ListenAddress, type Listener } from './listener.ts'
import { MqttGate } from './mqtt-gate.ts'

/** Name of the broker in PROTOCOLS, in log lines and metrics. */
export const MQTT = 'mqtt'

const NO_BYTES = Buffer.alloc(0)
const CONTROL_CHARACTER = /\p{Cc}/u

/** CONNACK, MQTT 3.1.1, section 3.2.2.3. */
const IDENTIFIER_REJECTED = 2
const BAD_USER_NAME_OR_PASSWORD = 4
/** The broker's words, up to a colon, for connections that ended without a fault of the device; the limits they met. */
const ENDS: ReadonlyMap<string, LimitName | undefined> = new Map([
  ['connection closed', undefined],
  ['keep alive timeout', undefined],
  ['drain timeout', 'closingTimeoutMs'],
  ['connect did not arrive in time', 'firstFrameTimeoutMs'],
  ['keep alive limit exceeded', 'mqttKeepAliveMs'],
  ['Client queue limit reached', 'pendingFramesPerConnectionMax'],
  ['maxInflightInbound exceeded', 'pendingFramesPerConnectionMax'],
])

/** What is known of a connection. */
interface DeviceConnection extends Replaceable {
  readonly address: string
  /** What came last, as much as the quarantine keeps; nothing of a CONNECT, which may hold a password. */
  lastBytes: Buffer
  /** Who it says it is; '' before CONNECT. */
  name: string
  passwordHash: Buffer | undefined
  /** Messages that wait for room. */
  readonly waiting: Set<() => void>
  readonly gate: MqttGate
  /** Of the device of that name; undefined before CONNECT. */
  traffic: DeviceTraffic | undefined
}

/** The broker, which also takes connections that another port has accepted. */
export interface MqttListener extends Listener {
  /** @param first What was received on the socket before. */
  serve(socket: Socket, first: Buffer): void
}

/** @throws ListenError if the port cannot be had. */
export async function listenMqtt(
  adapters: readonly Adapter[],
  intake: Intake,
  count: ConnectionCount,
  address: ListenAddress,
): Promise<MqttListener> {
  const { metrics, limits } = intake
  const routes = adapters.flatMap((adapter) =>
    (adapter.listen.mqtt ?? []).map((filter) => ({ adapter, filter })),
  )
  const frameBytesMax = Math.max(...adapters.map((adapter) => adapter.maxFrameBytes))
  const packetBytesMax = Math.min(frameBytesMax, limits.frameBytesMax) + limits.mqttTopicBytes
  const open = new Map<Socket, DeviceConnection>()
  const connectionOf = (client: Client) => open.get(client.conn as Socket)
  /** Errors that were counted where they were found. */
  const counted = new WeakSet<Error>()
  const labels = { protocol: MQTT, transport: 'mqtt' }
  /** Of connected devices that are not registered by the name they give. */
  const strangers = new Map<string, DeviceTraffic>()

  const known = <Known extends Error>(error: Known): Known => {
    counted.add(error)
    return error
  }
  const refuse = (code: string, message: string, bytes: Buffer, connection: DeviceConnection) => {
    intake.reject(MQTT, code, bytes, connection.address, connection.name)
    return known(new Error(message))
  }

  const join = (connection: DeviceConnection) => {
    const { name, gate } = connection
    const registered = intake.find(name)?.traffic
    const traffic = registered ?? strangers.get(name) ?? new DeviceTraffic(limits.bytesPerSecondPerDeviceMax)
    if (registered === undefined) strangers.set(name, traffic)
    connection.traffic = traffic
    gate.connected(traffic.budget)
    traffic.join(connection, limits.connectionsPerDeviceMax)
  }
  const leave = (connection: DeviceConnection) => {
    const { name, traffic } = connection
    traffic?.leave(connection)
    if (traffic?.hasConnections === false && strangers.get(name) === traffic) strangers.delete(name)
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
      const accepted = intake.accept(adapter, session, frame, connection.address, () => {
        done()
        if (packet.qos > 0) metrics.replies.inc({ protocol: adapter.id })
      })
      const settle = (receipt: Receipt) => {
        if (receipt.kind === 'fault') done(receipt.error)
        else if (receipt.kind === 'unknown') done(known(new Error(`device "${name}" is not registered`)))
        else if (receipt.kind === 'session') done()
      }
      if (accepted instanceof Promise) void accepted.then(settle)
      else settle(accepted)
    }
    const { missingRoom } = intake
    if (missingRoom === undefined) take()
    else {
      metrics.limitMet(missingRoom)
      waiting.add(take)
      intake.whenRoom(take)
    }
  }

  const broker = await Aedes.createBroker({
    connectTimeout: limits.firstFrameTimeoutMs,
    keepaliveLimit: Math.ceil(limits.mqttKeepAliveMs / 1000),
    drainTimeout: limits.closingTimeoutMs,
    queueLimit: limits.pendingFramesPerConnectionMax,
    maxInflightInbound: limits.pendingFramesPerConnectionMax,
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
      } else {
        join(connection)
        done(null, true)
      }
    },
    authorizePublish: (client, packet, done) => {
      packet.retain = false
      const connection = client === null ? undefined : connectionOf(client)
      if (connection === undefined) done(known(new Error('the connection is gone')))
      else {
        const { gate } = connection
        gate.messageTaken()
        publish(connection, packet, (error) => {
          gate.messageDone()
          done(error)
        })
      }
    },
    authorizeSubscribe: (_, __, done) => done(null, null),
  })
  const onError = (client: Client, error: NodeJS.ErrnoException) => {
    // Errors with a code are the network's, where a device hung up.
    if (error instanceof DecodeError || counted.has(error) || error.code !== undefined) return
    const [words = ''] = error.message.split(':')
    if (ENDS.has(words)) {
      const limit = ENDS.get(words)
      if (limit !== undefined) metrics.limitMet(limit)
      return
    }
    const connection = connectionOf(client)
    if (connection !== undefined) refuse('malformed', error.message, connection.lastBytes, connection)
  }
  broker.on('clientError', onError)
  broker.on('connectionError', onError)

  const serve = (socket: Socket, first: Buffer = NO_BYTES) => {
    if (!count.admit(socket, labels)) return
    const gate = new MqttGate(socket, intake, packetBytesMax, {
      onBytes: (bytes) => {
        if (connection.name !== '' || !gate.guard.saysConnect) {
          connection.lastBytes = headOf(bytes, limits.quarantineFrameBytesMax)
        }
      },
      hold: (bytes, bytesBefore) => count.hold(bytes, bytesBefore),
    })
    const connection: DeviceConnection = {
      address: addressOfSocket(socket),
      lastBytes: NO_BYTES,
      name: '',
      passwordHash: undefined,
      waiting: new Set(),
      gate,
      traffic: undefined,
      replace: () => {
        metrics.limitMet('connectionsPerDeviceMax')
        socket.destroy()
      },
    }
    open.set(socket, connection)
    socket.setTimeout(limits.idleTimeoutMs, () => {
      metrics.limitMet('idleTimeoutMs')
      socket.destroy()
    })
    let hungUp = false
    const hangUp = () => {
      hungUp = true
    }
    socket.on('end', hangUp)
    socket.on('error', hangUp)
    socket.on('close', () => {
      const fault = gate.fault ?? (hungUp && gate.guard.withinPacket ? 'cut' : undefined)
      if (fault !== undefined && open.has(socket)) {
        intake.reject(MQTT, fault, connection.lastBytes, connection.address, connection.name)
      }
      for (const take of connection.waiting) intake.forgetWaiting(take)
      gate.close()
      leave(connection)
      open.delete(socket)
    })
    broker.handle(socket)
    // As Node hands over what it reads: the gate stands there.
    if (first.length > 0) socket.push(first)
  }
  const server = createServer({ noDelay: true, keepAlive: true }, (socket) => serve(socket))
  const port = await bindServer(server, MQTT, address, metrics)
  return {
    protocol: MQTT,
    transport: 'mqtt',
    host: address.host,
    port,
    serve,
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
