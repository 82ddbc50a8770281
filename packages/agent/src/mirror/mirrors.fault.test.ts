import { limits } from '@downlink/protocol'
import type { ServerResponse } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  clientOf,
  droppingPort,
  failureOf,
  httpServer,
  hubAnswer,
  passTimer,
  refusedPort,
  SYNC,
  tcpServer,
} from '../../test/servers.ts'
import type { AgentClient } from '../client.ts'
import { openEventStream } from '../stream/event-stream.ts'
import type { TestClock } from '../../../testkit/src/test-clock.ts'

const answering =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  async () => {
    const answer = (_: unknown, response: ServerResponse): void =>
      void response.writeHead(status, headers).end(body)
    return (await httpServer(answer)).url
  }

/** Mirrors that fail, by what is wrong with them, and what must pass on the clock until that shows. */
const BROKEN: [name: string, make: () => Promise<string>, passMs?: number][] = [
  ['has a name that cannot be resolved', async () => 'https://hub.invalid'],
  ['refuses connections', async () => `http://127.0.0.1:${await refusedPort()}`],
  [
    'accepts and never speaks TLS',
    async () => (await tcpServer((socket) => socket.resume())).url.replace('http:', 'https:'),
    limits.CONNECT_MS_MAX,
  ],
  [
    'resets before the headers',
    async () => (await tcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()))).url,
  ],
  [
    'closes before the headers',
    async () => (await tcpServer((socket) => socket.once('data', () => socket.end()))).url,
  ],
  [
    'breaks off within the headers',
    async () =>
      (await tcpServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nx:')))).url,
  ],
  [
    'does not speak HTTP',
    async () => (await tcpServer((socket) => socket.once('data', () => socket.end('SSH-2.0-x\r\n')))).url,
  ],
  ['answers a login page', answering(200, { 'content-type': 'text/html; charset=utf-8' }, '<form>')],
  ...[408, 502, 503, 504].map(
    (status) => [`answers ${status}`, answering(status)] satisfies [string, unknown],
  ),
]

const onLinux = process.platform === 'linux'

interface Case {
  readonly name: string
  readonly call: (client: AgentClient) => Promise<unknown>
}
const CALLS: readonly Case[] = [
  { name: 'sync', call: (client) => client.sync(SYNC) },
  {
    name: 'events',
    call: async (client) => {
      const stream = await openEventStream(client)
      onTestFinished(() => void stream.close())
      return stream
    },
  },
]

async function passes(clock: TestClock, delayMs: number | undefined): Promise<void> {
  if (delayMs !== undefined) await passTimer(clock, delayMs)
}

describe.each(CALLS)('given a call of $name', ({ name, call }) => {
  test.each(BROKEN)(
    'when the first mirror %s > the second one is asked, and stays in use',
    async (_, make, passMs) => {
      const bad = await make()
      const good = await httpServer(hubAnswer())
      const { client, clock } = clientOf([bad, good.url])
      const called = call(client)
      await passes(clock, passMs)
      await called
      expect(client.mirrors.current.origin).toBe(good.url)
      await call(client)
      expect(good.asked.map(({ path }) => path)).toEqual([name, name])
    },
  )

  test.skipIf(!onLinux)(
    'when the first mirror drops SYNs > the second one is asked within seconds',
    async () => {
      const good = await httpServer(hubAnswer())
      const { client, clock } = clientOf([`http://127.0.0.1:${await droppingPort()}`, good.url])
      const called = call(client)
      await passTimer(clock, limits.CONNECT_MS_MAX)
      await called
      expect(limits.CONNECT_MS_MAX).toBeLessThanOrEqual(5_000)
      expect(good.asked).toHaveLength(1)
    },
  )

  test.each([400, 401, 403, 404, 409, 410, 412, 426, 429, 500, 501, 302])(
    'when the first mirror answers %i > that stands, and nobody else is asked',
    async (status) => {
      const first = await httpServer((_, response) => void response.writeHead(status).end())
      const good = await httpServer(hubAnswer())
      const { client } = clientOf([first.url, good.url])
      expect(await failureOf(call(client))).toMatchObject({ status })
      expect([first.asked.length, good.connections()]).toEqual([1, 0])
    },
  )

  test('when every mirror fails > each is asked once, with a counter of its own, and the last failure is told', async () => {
    const answers = [503, 502, 504].map((status) =>
      httpServer((_, response) => void response.writeHead(status).end()),
    )
    const mirrors = await Promise.all(answers)
    const { client, clock } = clientOf(mirrors.map(({ url }) => url))
    expect(await failureOf(call(client))).toMatchObject({ status: 504 })
    expect(mirrors.map(({ asked }) => asked.map(({ counter }) => counter))).toEqual([[1], [2], [3]])
    expect(client.mirrors.current.origin).toBe(mirrors[0]?.url)
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })
})

describe('given a mirror that accepts and holds back its answer', () => {
  test('when a sync asks it > the next one is asked after its share of the one deadline', async () => {
    const silent = await httpServer(() => {})
    const good = await httpServer(hubAnswer())
    const { client, clock } = clientOf([silent.url, good.url])
    const called = client.sync(SYNC)
    await passTimer(clock, limits.REQUEST_MS_MAX / 2)
    await called
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when a stream is to open > the next one is dialled within the one liveness deadline', async () => {
    const silent = await httpServer(() => {})
    const good = await httpServer(hubAnswer())
    const { client, clock } = clientOf([silent.url, good.url])
    const opening = openEventStream(client)
    await passTimer(clock, (limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS) / 2)
    await using stream = await opening
    expect(stream.url.origin).toBe(good.url)
    await vi.waitUntil(() => silent.sockets.size === 0)
  })

  test('when both do > the stream was silent after the one deadline, and nothing is left', async () => {
    const mirrors = await Promise.all([httpServer(() => {}), httpServer(() => {})])
    const { client, clock } = clientOf(mirrors.map(({ url }) => url))
    const failure = failureOf(openEventStream(client))
    const shareMs = (limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS) / 2
    await passTimer(clock, shareMs)
    await vi.waitUntil(() => mirrors[1]?.asked.length === 1)
    clock.advance(shareMs)
    expect(await failure).toMatchObject({ code: 'stream_silent' })
    await vi.waitUntil(() => mirrors.every(({ sockets }) => sockets.size === 0))
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })
})

describe('given a pool in use', () => {
  test('when the caller aborts while a mirror is silent > no other one is asked', async () => {
    const silent = await httpServer(() => {})
    const good = await httpServer(hubAnswer())
    const { client } = clientOf([silent.url, good.url])
    const controller = new AbortController()
    const called = failureOf(client.sync(SYNC, { signal: controller.signal }))
    await vi.waitUntil(() => silent.asked.length === 1)
    controller.abort(new Error('stop'))
    expect(await called).toEqual(new Error('stop'))
    expect(good.connections()).toBe(0)
  })

  test('when a stream breaks off in its middle > nobody dials again by themselves', async () => {
    const first = await httpServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': hb\n\n', () => response.destroy())
    })
    const good = await httpServer(hubAnswer())
    const { client } = clientOf([first.url, good.url])
    const stream = await openEventStream(client)
    for await (const _ of stream);
    expect((await stream.closed).reason).toBe('lost')
    expect([first.asked.length, good.connections()]).toEqual([1, 0])
  })

  test('when a reply breaks off behind its headers > it may have been done, and is not asked elsewhere', async () => {
    const first = await httpServer((_, response) => response.write('{', () => response.destroy()))
    const good = await httpServer(hubAnswer())
    const { client } = clientOf([first.url, good.url])
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost' })
    expect(good.connections()).toBe(0)
  })

  test('when a mirror refuses > it has answered, and the pool stays there', async () => {
    const down = await httpServer((_, response) => void response.writeHead(502).end())
    const refusing = await httpServer((_, response) => void response.writeHead(401).end())
    const { client } = clientOf([down.url, refusing.url])
    for (let count = 0; count < 2; count += 1) {
      expect(await failureOf(client.sync(SYNC))).toMatchObject({ status: 401 })
    }
    expect([down.asked.length, refusing.asked.length]).toEqual([1, 2])
  })

  test('when the first mirror streams > its share of the deadline ends with its headers', async () => {
    const mirrors = await Promise.all([httpServer(hubAnswer()), httpServer(hubAnswer())])
    const { client, clock } = clientOf(mirrors.map(({ url }) => url))
    await using stream = await openEventStream(client)
    const { value } = await stream[Symbol.asyncIterator]().next()
    expect(value).toMatchObject({ type: 'ping' })
    // Only the proof of life is left.
    expect(clock.pendingTimers).toBe(1)
  })

  test('when home has recovered > a later sync goes there, and the pool stays', async () => {
    let isDown = true
    const home = await httpServer((request, response) =>
      isDown ? void response.writeHead(502).end() : hubAnswer()(request, response),
    )
    const good = await httpServer(hubAnswer())
    const { client, clock } = clientOf([home.url, good.url])
    await client.sync(SYNC)
    clock.advance(limits.MIRROR_HOME_MS_MIN)
    await client.sync(SYNC)
    expect([home.asked.length, client.mirrors.current.origin]).toEqual([2, good.url])
    isDown = false
    clock.advance(limits.MIRROR_HOME_MS_MIN)
    await client.sync(SYNC)
    expect(home.asked).toHaveLength(2)
    clock.advance(limits.MIRROR_HOME_MS_MIN)
    await client.sync(SYNC)
    await client.sync(SYNC)
    expect([home.asked.length, client.mirrors.current.origin]).toEqual([4, home.url])
  })

  test('when the mirrors are replaced > the next call goes to the new ones, and those under way end as they would', async () => {
    const held = Promise.withResolvers<ServerResponse>()
    const first = await httpServer((_, response) => held.resolve(response))
    const other = await httpServer(hubAnswer())
    const { client } = clientOf([first.url])
    const underWay = client.sync(SYNC)
    const response = await held.promise
    client.mirrors.replace([other.url])
    await client.sync(SYNC)
    expect([first.asked.length, other.asked.length]).toEqual([1, 1])
    response.end('{"watching":true}')
    expect(await underWay).toMatchObject({ watching: true })
    await vi.waitUntil(() => first.sockets.size === 0)
  })
})
