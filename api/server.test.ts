import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { apiFixture } from './api-fixture.ts'
import { CLOSE_GRACE_MS } from './server.ts'

describe('server', () => {
  it('says why it cannot listen', async () => {
    const other = createServer()
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    onTestFinished(() => void other.close())
    const { port } = other.address() as AddressInfo
    await expect(apiFixture({ port })).rejects.toThrow(/EADDRINUSE/)
  })

  it('ends requests under way before it closes, and takes no more', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let entered = () => {}
    const reached = new Promise<void>((resolve) => {
      entered = resolve
    })
    const api = await apiFixture({
      metrics: async () => {
        entered()
        await held
        return 'late\n'
      },
    })
    const answer = api.nobody('GET', '/metrics')
    await reached
    const startMs = performance.now()
    const closed = api.close()
    const late = connect(Number(new URL(api.origin).port), '127.0.0.1')
    const [error] = await once(late, 'error')
    expect(error.code).toBe('ECONNREFUSED')
    release()
    expect((await answer).body).toBe('late\n')
    await closed
    expect(performance.now() - startMs).toBeLessThan(CLOSE_GRACE_MS)
  })

  it('closes although a client holds its connection open', async () => {
    const api = await apiFixture()
    const socket = connect(Number(new URL(api.origin).port), '127.0.0.1')
    await once(socket, 'connect')
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    const closed = once(socket, 'close')
    await api.close()
    await closed
  })
})
