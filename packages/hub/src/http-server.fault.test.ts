/** The hub inside another server, and against bytes that are no requests. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { limits, systemClock } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startHub, type HubFixture } from '../test/hub-fixture.ts'
import { createHub } from './hub.ts'
import { createMemoryStore } from './store/memory-store.ts'

describe('given a server of one’s own', () => {
  test('when the hub is mounted below a path > its paths are its own, and all others go to next', async () => {
    await using store = createMemoryStore({ clock: systemClock })
    await using hub = await createHub({ store, basePath: '/downlink' })
    const server = createServer((request, response) =>
      hub.handler(request, response, () => response.end(`next ${request.url ?? ''}`)),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const at = async (path: string): Promise<string> => {
      const reply = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`)
      return `${reply.status} ${await reply.text()}`
    }
    expect(await at('/downlink/healthz')).toBe('200 {"status":"ok"}')
    expect(await at('/downlink/api/v1/agents')).toMatch(/^401 \{"error":"unauthorized"/)
    expect(await at('/downlink/api/internal/agent/events')).toMatch(/^401 \{"error":"unauthorized"/)
    expect(await at('/healthz')).toBe('200 next /healthz')
    expect(await at('/downlinks')).toBe('200 next /downlinks')
    expect(await at('/downlink/page?x=1')).toBe('200 next /downlink/page?x=1')
    await hub.drain()
    server.close()
    server.closeAllConnections()
  })

  test('when options are wrong > it says what is allowed', async () => {
    await using store = createMemoryStore({ clock: systemClock })
    await expect(createHub({ store, heartbeatMs: 5 })).rejects.toThrow(/from 50 to 20000/)
    await expect(createHub({ store, basePath: 'downlink/' })).rejects.toThrow(/like "\/downlink"/)
  })
})

describe('given a listening hub', () => {
  let fixture: HubFixture
  beforeEach(async () => void (fixture = await startHub()))
  afterEach(() => fixture[Symbol.asyncDispose]())

  const backlog = systemBacklog()
  test.skipIf(backlog < limits.LISTEN_BACKLOG)(
    'when more dial than Node would hold, while it is busy > none has to dial again',
    () => {
      const dial = `
        const { connect } = require('node:net')
        let waiting = 2_000
        setTimeout(() => { console.error(waiting + ' were not taken in'); process.exit(1) }, 20_000)
        for (let number = waiting; number > 0; number--) {
          connect(${fixture.url.port}, '127.0.0.1', () => { if (--waiting === 0) process.exit(0) }).on('error', () => {})
        }`
      // The hub is in this thread, so it takes nothing in meanwhile.
      const { status, stderr } = spawnSync(process.execPath, ['-e', dial], { encoding: 'utf8' })
      expect(status, `${stderr}; the backlog of listen must be as large as the limit says`).toBe(0)
    },
  )

  async function send(bytes: string): Promise<string> {
    const socket = connect(Number(fixture.url.port), fixture.url.hostname)
    socket.write(bytes)
    const chunks: string[] = []
    for await (const chunk of socket.setEncoding('utf8') as AsyncIterable<string>) chunks.push(chunk)
    return chunks.join('')
  }

  test('when bytes are no request, or headers too large > it answers with a code and closes', async () => {
    expect(await send('nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*"error":"bad_request"/)
    expect(await send(`GET / HTTP/1.1\r\nhost: x\r\npad: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [\s\S]*"error":"headers_too_large"/,
    )
  })

  test('when a body is longer than allowed > it is refused without being read, and the connection ends', async () => {
    const reply = await send(
      'POST /api/internal/agent/authkey/exchange HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n{',
    )
    expect(reply).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close[\s\S]*"error":"body_too_large"/i)
  })

  test('when it is told to listen twice > it refuses', async () => {
    await expect(fixture.hub.listen({ port: 0 })).rejects.toThrow(/listens already/)
  })
})

/** Connections that the system holds for one socket at most. */
function systemBacklog(): number {
  return process.platform === 'linux' ? Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8')) : 0
}
