import { limits, type DownlinkEvent } from '@downlink/protocol'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createBoot } from '../boot.ts'
import { createAgentClient } from '../client.ts'
import type { EventStream } from '../stream/event-stream.ts'
import type { ConnectionStatus } from './connection-state.ts'
import { runDownlink, type DownlinkOptions } from './supervisor.ts'

const cleanUp: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of cleanUp.splice(0).toReversed()) await step()
})

/** A hub whose n-th answer is the n-th of `answers`, the last one for all that follow, and a downlink to it. */
async function downlinkTo(
  answers: readonly ((response: ServerResponse) => void)[],
  callbacks: Partial<DownlinkOptions> = {},
) {
  const sockets = new Set<Socket>()
  let dials = 0
  const server = createServer((_, response) => {
    answers[Math.min(dials, answers.length - 1)]?.(response)
    dials += 1
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const clock = createTestClock()
  const client = createAgentClient({
    hubs: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`],
    credential: () => 'key',
    boot: createBoot((size) => new Uint8Array(size)),
    clock,
  })
  const controller = new AbortController()
  const events: DownlinkEvent[] = []
  const syncs: string[] = []
  const statuses: ConnectionStatus[] = []
  const streams: EventStream[] = []
  const running = runDownlink({
    client,
    clock,
    random: () => 0.5,
    signal: controller.signal,
    onEvent: (event) => void events.push(event),
    onSyncWanted: (reason) => syncs.push(reason),
    onStatus: (status) => statuses.push(status),
    onStream: (stream) => streams.push(stream),
    ...callbacks,
  })
  cleanUp.push(async () => {
    controller.abort()
    await running.catch(() => {})
    await client.close()
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const waiting = (count: number) =>
    vi.waitUntil(() => statuses.filter(({ name }) => name === 'waiting').length === count)
  return {
    clock,
    controller,
    running,
    events,
    syncs,
    statuses,
    streams,
    sockets,
    waiting,
    dials: () => dials,
  }
}

const streaming =
  (text: string, then?: (response: ServerResponse) => void) =>
  (response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(text, () => then?.(response))
  }
const refusing =
  (status: number, body: string, headers: Record<string, string> = {}) =>
  (response: ServerResponse): void =>
    void response.writeHead(status, headers).end(body)
const SYNC = 'event: sync\ndata: {"reason":"wake"}\n\n'

describe('given a downlink', () => {
  test('when streams are lost and hubs refuse > it comes back by its backoff, and fetches after each opening', async () => {
    const answers = [
      streaming('retry: 2000\n\n', (response) => response.destroy()),
      refusing(503, '', { 'retry-after': '9' }),
      refusing(410, '{"error":"agent_revoked"}'),
      streaming(SYNC),
    ]
    const run = await downlinkTo(answers, { mode: 'sse' })
    await run.waiting(1)
    expect(run.clock.nextTimerMs).toBe(3_000)
    run.clock.advance(3_000)
    await run.waiting(2)
    expect(run.clock.nextTimerMs).toBe(13_500)
    run.clock.advance(13_500)
    await run.waiting(3)
    expect(run.statuses.at(-1)).toMatchObject({ failureCount: 3, failure: { code: 'agent_revoked' } })
    expect(run.clock.nextTimerMs).toBeLessThanOrEqual(limits.RECONNECT_MS_MAX)
    run.clock.advance(run.clock.nextTimerMs ?? 0)
    await vi.waitUntil(() => run.events.length === 1)
    expect(run.syncs).toEqual(['stream opened', 'stream opened', 'wake'])
    expect([run.dials(), run.streams.length, run.statuses.at(-1)?.name]).toEqual([4, 2, 'open'])
  })

  test('when the hub drains > it comes back at its slot', async () => {
    const drain = 'event: drain\ndata: {"reconnectAfterMs":7000}\n\n'
    const run = await downlinkTo([streaming(drain, (response) => response.end()), streaming('')])
    await run.waiting(1)
    // The slot, the rest after a stream that hardly lived, and half of the small jitter.
    expect(run.clock.nextTimerMs).toBe(7_000 + 500 + 250)
    expect(run.statuses.at(-1)).toMatchObject({ name: 'waiting', failureCount: 0, retryInMs: 7_750 })
    run.clock.advance(7_750)
    await vi.waitUntil(() => run.streams.length === 2)
  })

  test('when the path is silent > it dials again', async () => {
    const run = await downlinkTo([() => {}, streaming(SYNC)], { mode: 'sse' })
    await vi.waitUntil(() => run.dials() === 1)
    run.clock.advance(limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS)
    await run.waiting(1)
    expect(run.statuses.at(-1)).toMatchObject({ failure: { code: 'stream_silent' } })
    run.clock.advance(limits.RECONNECT_MS_MIN)
    await vi.waitUntil(() => run.events.length === 1)
  })

  test('when more frames come than any hub sends > the stream is ended as one that passes a bound (R-12)', async () => {
    const run = await downlinkTo([
      streaming(': hb\n\n'.repeat(2 * limits.STREAM_FRAMES_BURST)),
      streaming(''),
    ])
    await run.waiting(1)
    expect(run.events).toHaveLength(limits.STREAM_FRAMES_BURST + 1)
    expect(run.statuses.at(-1)).toMatchObject({
      failureCount: 1,
      failure: { code: 'stream_flooded' },
      path: { verdict: 'limit' },
    })
    await vi.waitUntil(() => run.sockets.size === 0)
    run.clock.advance(run.clock.nextTimerMs ?? 0)
    await vi.waitUntil(() => run.streams.length === 2)
  })

  test('when the next stream floods, too > it gets no burst of its own', async () => {
    const flood = streaming(': hb\n\n'.repeat(2 * limits.STREAM_FRAMES_BURST))
    const run = await downlinkTo([flood])
    await run.waiting(1)
    const waitedMs = run.clock.nextTimerMs ?? 0
    run.clock.advance(waitedMs)
    await run.waiting(2)
    const refilled = (waitedMs * limits.STREAM_FRAMES_PER_S_MAX) / 1_000
    expect(run.events).toHaveLength(limits.STREAM_FRAMES_BURST + refilled + 2)
  })

  test('when an event takes time > the next one waits for it', async () => {
    let underWay = 0
    let most = 0
    let seen = 0
    const run = await downlinkTo([streaming(SYNC.repeat(20))], {
      onEvent: async () => {
        most = Math.max(most, (underWay += 1))
        await new Promise(setImmediate)
        underWay -= 1
        seen += 1
      },
    })
    await vi.waitUntil(() => seen === 20)
    expect([most, run.syncs.length]).toEqual([1, 21])
  })
})

describe('given an abort', () => {
  test('when it comes before the start > nothing is dialled', async () => {
    const run = await downlinkTo([streaming('')], { signal: AbortSignal.abort() })
    await run.running
    expect([run.dials(), run.statuses.map(({ name }) => name)]).toEqual([0, ['stopped']])
  })

  test.each([
    ['dials', () => {}, 'connecting'],
    ['waits', refusing(503, ''), 'waiting'],
    ['is open', streaming(SYNC), 'open'],
  ] as const)(
    'when it comes while it %s > it resolves with the connection closed',
    async (_, answer, name) => {
      const run = await downlinkTo([answer])
      await vi.waitUntil(() => run.dials() === 1 && run.statuses.at(-1)?.name === name)
      run.controller.abort()
      await run.running
      expect([run.statuses.at(-1)?.name, run.clock.pendingTimers]).toEqual(['stopped', 0])
      await vi.waitUntil(() => run.sockets.size === 0)
      expect(run.dials()).toBe(1)
    },
  )

  test('when an event is under way > it is waited for, and no other comes', async () => {
    const gate = Promise.withResolvers<void>()
    const seen: DownlinkEvent[] = []
    let resolved = false
    const run = await downlinkTo([streaming(SYNC.repeat(3))], {
      onEvent: async (event) => {
        seen.push(event)
        await gate.promise
      },
    })
    const running = run.running.then(() => (resolved = true))
    await vi.waitUntil(() => seen.length === 1)
    run.controller.abort()
    await vi.waitUntil(() => run.sockets.size === 0)
    expect(resolved).toBe(false)
    gate.resolve()
    await running
    expect(seen).toHaveLength(1)
  })
})

test('given a callback that throws > the downlink rejects with that, its stream closed', async () => {
  const broken = new Error('the journal is full')
  const run = await downlinkTo([streaming(SYNC)], { onEvent: () => Promise.reject(broken) })
  await expect(run.running).rejects.toBe(broken)
  await vi.waitUntil(() => run.sockets.size === 0)
  expect(run.clock.pendingTimers).toBe(0)
})
