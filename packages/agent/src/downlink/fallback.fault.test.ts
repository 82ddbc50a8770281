import { limits, type DownlinkEvent } from '@downlink/protocol'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { clientOf, failureOf, httpServer, hubAnswer, passTimer, TOKEN } from '../../test/servers.ts'
import type { ConnectionStatus, DownlinkMode } from './connection-state.ts'
import { runDownlink } from './supervisor.ts'

const SILENT_MS = limits.HEARTBEAT_MS_DEFAULT * limits.LIVENESS_HEARTBEATS

type Answer = (response: ServerResponse, request: IncomingMessage) => void

/** A downlink to a server whose streams and wakes are answered by what `events` and `wake` are at the time. */
async function downlinkOf(answers: { events: Answer; wake: Answer }, mode: DownlinkMode = 'auto') {
  const server = await httpServer((request, response) => {
    const isWake = request.url?.endsWith('/wake') === true
    ;(isWake ? answers.wake : answers.events)(response, request)
  })
  const { client, clock } = clientOf([server.url])
  const controller = new AbortController()
  const statuses: ConnectionStatus[] = []
  const events: DownlinkEvent[] = []
  const syncs: string[] = []
  let hubIsBack = 0
  const running = runDownlink({
    client,
    clock,
    random: () => 0,
    signal: controller.signal,
    mode,
    onEvent: (event) => void events.push(event),
    onSyncWanted: (reason) => syncs.push(reason),
    onStatus: (status) => statuses.push(status),
    onHubIsBack: () => (hubIsBack += 1),
  })
  onTestFinished(async () => {
    controller.abort()
    await running
  })
  const count = (path: string) => server.asked.filter((one) => one.path === path).length
  const until = (status: Partial<ConnectionStatus>) =>
    vi.waitUntil(() =>
      Object.entries(status).every(([key, value]) => statuses.at(-1)?.[key as 'name'] === value),
    )
  return { server, clock, controller, running, statuses, events, syncs, count, until, back: () => hubIsBack }
}

/** Answers that are given when the test says so. */
function heldAnswers() {
  const waiting: ServerResponse[] = []
  return {
    answer: ((response) => void waiting.push(response)) satisfies Answer,
    async next(): Promise<ServerResponse> {
      await vi.waitUntil(() => waiting.length > 0)
      const response = waiting.shift()
      if (response === undefined) throw new Error('There is no answer to be given.')
      return response
    },
  }
}

const json = (response: ServerResponse, value: object): void => void response.end(JSON.stringify(value))
const streaming: Answer = (response) =>
  void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': connected hb=15000\n\n')
const refusing =
  (status: number): Answer =>
  (response) =>
    void response.writeHead(status).end()

describe('given a path that holds back even the headers of a stream', () => {
  test('when the liveness deadline has passed > wake brings the news, and the stream comes back by itself', async () => {
    const wakes = heldAnswers()
    const answers = { events: (() => {}) as Answer, wake: wakes.answer }
    const run = await downlinkOf(answers)
    await vi.waitUntil(() => run.count('events') === 1)
    await passTimer(run.clock, SILENT_MS)
    await run.until({ name: 'waiting', poll: 'starting' })
    expect(run.statuses.at(-1)?.failure?.code).toBe('stream_silent')

    // The question is there at once, and news come as soon as it is answered.
    json(await wakes.next(), { wake: true })
    await run.until({ poll: 'working' })
    expect([run.syncs, run.back()]).toEqual([['wake'], 1])
    run.clock.advance(limits.WAKE_AGAIN_MS_MIN)
    json(await wakes.next(), { wake: true })
    await vi.waitUntil(() => run.syncs.length === 2)

    // The proxy is mended: the probe opens, proves itself beside wake, and takes over.
    let stream: ServerResponse | undefined
    answers.events = (response, request) => {
      stream = response
      streaming(response, request)
    }
    run.clock.advance(2 * limits.WAKE_AGAIN_MS_MIN)
    const question = await wakes.next()
    run.clock.advance(run.clock.nextTimerMs ?? 0)
    await run.until({ name: 'open', poll: 'working' })
    expect(run.count('events')).toBe(2)
    json(question, { wake: false })
    await passTimer(run.clock, 0)
    let held = await wakes.next()
    for (let beat = 1; beat <= limits.PROBE_HEARTBEATS; beat += 1) {
      expect(run.statuses.at(-1)?.poll, 'taken back before it has proved itself').toBe('working')
      run.clock.advance(limits.HEARTBEAT_MS_DEFAULT)
      stream?.write(`: hb n=${beat} t=${run.clock.wallMs()}\n\n`)
      await vi.waitUntil(() => run.events.length === 1 + beat)
      if (beat === limits.PROBE_HEARTBEATS) break
      json(held, { wake: false })
      await passTimer(run.clock, 0)
      held = await wakes.next()
    }
    await run.until({ name: 'open', poll: 'off' })
    // The question under way is hung up; only the stream is left.
    await vi.waitUntil(() => run.server.sockets.size === 1)
  })
})

describe('given streams that fail', () => {
  test('when three in a row were refused > wake is asked', async () => {
    const run = await downlinkOf({
      events: refusing(503),
      wake: (response) => json(response, { wake: false }),
    })
    for (const count of [1, 2]) {
      await vi.waitUntil(() => run.count('events') === count && run.clock.nextTimerMs === 0)
      expect(run.count('wake')).toBe(0)
      run.clock.advance(0)
    }
    await run.until({ poll: 'working' })
    expect([run.count('events'), run.count('wake')]).toEqual([3, 1])
  })

  test('when the server has no wake either > the pace of the syncs is left, and that is said', async () => {
    const run = await downlinkOf({ events: refusing(404), wake: refusing(404) }, 'auto')
    for (const count of [1, 2]) {
      await vi.waitUntil(() => run.count('events') === count && run.clock.nextTimerMs === 0)
      run.clock.advance(0)
    }
    await run.until({ poll: 'missing' })
    expect(run.statuses.at(-1)?.failure?.code).toBe('http_404')
  })
})

describe('given the mode poll', () => {
  test('when it runs > no stream is dialled, and answers that fail are asked again later', async () => {
    const answers = { events: streaming, wake: refusing(502) }
    const run = await downlinkOf(answers, 'poll')
    await run.until({ poll: 'failing' })
    answers.wake = (response) => json(response, { wake: true })
    await passTimer(run.clock, limits.WAKE_AGAIN_MS_MIN)
    await run.until({ poll: 'working' })
    expect([run.count('wake'), run.count('events'), run.syncs, run.back()]).toEqual([2, 0, ['wake'], 1])
  })

  test('when it ends while a question is held > it resolves at once, with nothing left', async () => {
    const wakes = heldAnswers()
    const run = await downlinkOf({ events: streaming, wake: wakes.answer }, 'poll')
    await wakes.next()
    run.controller.abort()
    await run.running
    expect([run.statuses.at(-1)?.name, run.clock.pendingTimers]).toEqual(['stopped', 0])
    await vi.waitUntil(() => run.server.sockets.size === 0)
  })
})

describe('given a wake', () => {
  test('when it is asked > the request is the one of the wire, with its boot', async () => {
    const requests: IncomingMessage[] = []
    const server = await httpServer((request, response) => {
      requests.push(request)
      hubAnswer(true)(request, response)
    })
    const { client, clock } = clientOf([server.url], { journalId: () => 'j1' })
    expect(await client.wake()).toBe(true)
    expect([requests[0]?.method, requests[0]?.url]).toEqual(['GET', '/api/internal/agent/wake'])
    expect(requests[0]?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'downlink-boot': '0'.repeat(32),
      'downlink-connect': '1',
      'downlink-journal': 'j1',
    })
    expect(requests[0]?.headers['content-type']).toBeUndefined()
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when it is held as long as a hub holds it, also at the first of several mirrors > it is waited for', async () => {
    const wakes = heldAnswers()
    const server = await httpServer((_, response) => wakes.answer(response))
    const other = await httpServer(hubAnswer())
    const { client, clock } = clientOf([server.url, other.url])
    const asking = client.wake()
    const response = await wakes.next()
    clock.advance(limits.WAKE_HOLD_MS_MAX)
    json(response, { wake: false })
    expect([await asking, other.connections()]).toEqual([false, 0])
  })

  test('when it is held for good > one deadline ends it', async () => {
    const server = await httpServer(() => {})
    const { client, clock } = clientOf([server.url])
    const failure = failureOf(client.wake())
    await vi.waitUntil(() => server.asked.length === 1)
    clock.advance(limits.WAKE_MS_MAX)
    expect(await failure).toMatchObject({ code: 'timed_out' })
    await vi.waitUntil(() => server.sockets.size === 0)
  })

  test.each(['{}', '{"wake":"yes"}', '[]', ''])('when the answer is %j > it is no answer', async (body) => {
    const server = await httpServer((_, response) => void response.end(body))
    const { client } = clientOf([server.url])
    expect(await failureOf(client.wake())).toMatchObject({ code: 'bad_reply' })
  })
})
