import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { MessageChannel, Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { transferables } from '../schemas/position-batch.ts'
import { STREAM_PATH } from '../schemas/stream.ts'
import { threadUrl } from '../storage/project-root.ts'
import { fixes, StreamClient, StreamFixture, testBatch } from '../test/stream-fixture.ts'
import type { FromLive, LiveThreadData, ToLive } from './live-thread.ts'
import type { LiveOptions } from './options.ts'

describe('the live thread', () => {
  let stream: StreamFixture
  let userId: number
  let device: number

  beforeAll(async () => {
    stream = await StreamFixture.create()
    const organizationId = await stream.organization()
    userId = await stream.user(organizationId, 'viewer')
    device = (await stream.devices(organizationId, 1))[0]!
  })
  afterAll(() => stream.stop())

  function startThread(options: Partial<LiveOptions> = {}) {
    const { port1, port2 } = new MessageChannel()
    const workerData: LiveThreadData = { options: stream.liveOptions(options), ports: [port2] }
    const thread = new Worker(threadUrl('live/live-thread'), { workerData, transferList: [port2] })
    return { thread, shard: port1, exited: new Promise((resolve) => thread.once('exit', resolve)) }
  }
  const message = async (thread: Worker) => (await once(thread, 'message'))[0] as FromLive
  const send = (thread: Worker, what: ToLive) => thread.postMessage(what)

  test('serves, answers for its metrics, and ends when it is told, closing its sockets', async () => {
    const { thread, shard, exited } = startThread()
    const listening = await message(thread)
    expect(listening).toEqual({ type: 'listening', port: expect.any(Number) })
    const port = listening.type === 'listening' ? listening.port : 0
    const connect = async () => {
      const ticket = await stream.ticket(userId)
      const client = new StreamClient(new WebSocket(`ws://127.0.0.1:${port}${STREAM_PATH}?ticket=${ticket}`))
      await once(client.socket, 'open')
      return client
    }
    const clients: StreamClient[] = []
    for (let i = 0; i < 20; i++) clients.push(await connect())
    await clients[0]!.subscribe(1)
    const batch = testBatch([{ device, fixTimeMs: 1_000 }]).toMessage()
    const commits = [{ sequence: 1, rows: Uint32Array.of(0), events: [] }]
    shard.postMessage({ type: 'stored', batch, commits }, transferables(batch))
    expect(fixes([await clients[0]!.next()])).toEqual([[device, 1_000]])

    send(thread, { type: 'metrics', id: 4 })
    const answer = await message(thread)
    expect(answer).toMatchObject({ type: 'metrics', id: 4 })
    const metrics = answer.type === 'metrics' ? answer.metrics : []
    expect(metrics.find(({ name }) => name === 'fleetflow_stream_sockets')?.values).toMatchObject([
      { value: 20 },
    ])

    send(thread, { type: 'stop' })
    for (const client of clients) expect(await client.closed).toMatchObject({ code: 1001 })
    expect(await exited).toBe(0)
  })

  test('an error that nobody expected ends it, and not the process', async () => {
    const { thread, shard, exited } = startThread()
    const listening = await message(thread)
    const port = listening.type === 'listening' ? listening.port : 0
    const ticket = await stream.ticket(userId)
    const client = new StreamClient(new WebSocket(`ws://127.0.0.1:${port}${STREAM_PATH}?ticket=${ticket}`))
    await once(client.socket, 'open')
    const failed = once(thread, 'error')
    shard.postMessage('no batch')
    expect((await failed)[0]).toBeInstanceOf(Error)
    expect(await exited).toBe(1)
    expect(await client.closed).toMatchObject({ code: 1001 })
  })

  test('a process that ends at once is not aborted, if it waits until the sockets are closed', async () => {
    const script = `
      import { Worker } from 'node:worker_threads'
      const closed = new Int32Array(new SharedArrayBuffer(4))
      const workerData = { options: ${JSON.stringify(stream.liveOptions())}, ports: [], closed }
      const thread = new Worker(new URL(${JSON.stringify(threadUrl('live/live-thread').href)}), { workerData, execArgv: [] })
      process.on('exit', () => {
        thread.postMessage({ type: 'stop' })
        Atomics.wait(closed, 0, 0, 5_000)
      })
      thread.once('message', () => process.exit(7))`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' })
    expect(await once(child, 'exit')).toEqual([7, null])
  })

  test('says that its port is taken, with what to do, and ends', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const { thread, exited } = startThread({ port })
    expect(await message(thread)).toEqual({
      type: 'failed',
      code: 'port-in-use',
      message: `port ${port} of 127.0.0.1 is taken: stop what listens there, or set STREAM_PORT`,
    })
    expect(await exited).toBe(0)
    other.close()
  })

  test('says that another stream has its port', async () => {
    await stream.start()
    const { thread, exited } = startThread({ port: stream.live.port })
    expect(await message(thread)).toMatchObject({ type: 'failed', code: 'port-in-use' })
    expect(await exited).toBe(0)
  })

  test.each([
    ['address-unavailable', { host: '192.0.2.1' }],
    ['wrong-options', { limits: { closeSocketBytes: 1 } }],
    ['wrong-options', { limits: { idleTimeoutS: 1 } }],
  ] as const)('fails with %s, and ends', async (code, options) => {
    const { thread, exited } = startThread(options)
    expect(await message(thread)).toMatchObject({ type: 'failed', code })
    expect(await exited).toBe(0)
  })
})
