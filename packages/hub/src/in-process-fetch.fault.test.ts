/** The hub by `hub.fetch`, as frameworks call it whose handlers are given web requests. */
import { createOperatorClient } from '@downlink/client'
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'

const ORIGIN = 'http://hub.test'
const AGENT_API = '/downlink/api/internal/agent'

let fixture: HubFixture
let agent: AgentFixture

beforeEach(() => start())
afterEach(() => fixture[Symbol.asyncDispose]())

async function start(): Promise<void> {
  fixture = await startHub({ hub: { basePath: '/downlink', wakeHoldMs: 500 } })
  const exchanged = await json(
    await post(`${AGENT_API}/authkey/exchange`, '', { authKey: await enrollmentKey(), agentId: 'a1' }),
  )
  agent = fixture.agent('a1', exchanged.apiKey as string)
}

async function enrollmentKey(): Promise<string> {
  return (await json(await post('/downlink/api/v1/enrollment-keys', fixture.token, {}))).key as string
}

function get(path: string, token: string, init: RequestInit = {}): Promise<Response> {
  return fixture.hub.fetch(
    new Request(`${ORIGIN}${path}`, { ...init, headers: { authorization: `Bearer ${token}` } }),
  )
}

function post(path: string, token: string, body: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return fixture.hub.fetch(new Request(`${ORIGIN}${path}`, { method: 'POST', headers, body: text }))
}

async function json(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>
}

const sync = { agentId: 'a1', tasks: [], freeSlots: 1, journalId: 'j' }
const pause = { action: 'pause', taskId: 't1' }

describe('given hub.fetch', () => {
  test('when both APIs are called > they answer as over a socket, below the base path only', async () => {
    const made = await post('/downlink/api/v1/agents/a1/controls', fixture.token, pause)
    expect([made.status, made.headers.get('content-type')]).toEqual([201, 'application/json; charset=utf-8'])
    const reply = await post(`${AGENT_API}/sync`, agent.apiKey, sync)
    expect(await json(reply)).toMatchObject({ controls: [pause] })
    expect([...reply.headers.keys()], 'headers of the connection are not the reply’s').not.toContain(
      'connection',
    )
    expect(await json(await get('/downlink/healthz', ''))).toEqual({ status: 'ok' })
    expect((await get('/healthz', '')).status).toBe(404)
    const gone = await fixture.hub.fetch(
      new Request(`${ORIGIN}/downlink/api/v1/agents/a1`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${fixture.token}` },
      }),
    )
    expect([gone.status, gone.body]).toEqual([204, null])
  })

  test('when an agent asks for its stream (R-18) > 501 names the remedy', async () => {
    const reply = await get(`${AGENT_API}/events`, agent.apiKey)
    expect([reply.status, await json(reply)]).toEqual([
      501,
      { error: 'not_supported_here', message: expect.stringMatching(/long-poll.*hub\.listen/) as string },
    ])
  })

  test('when a wake is held > it is answered by a control, and else when its time is up', async () => {
    await post(`${AGENT_API}/sync`, agent.apiKey, sync)
    expect(await json(await get(`${AGENT_API}/wake`, agent.apiKey))).toEqual({ wake: false })
    const held = get(`${AGENT_API}/wake`, agent.apiKey)
    await post('/downlink/api/v1/agents/a1/controls', fixture.token, pause)
    expect(await json(await held)).toEqual({ wake: true })
  })

  test('when the operators’ client is given it > it works in process, the feed included', async () => {
    const { hub, token } = fixture
    const client = createOperatorClient({ url: 'http://localhost/downlink', token, fetch: hub.fetch })
    const stop = new AbortController()
    const events = client.events({ signal: stop.signal })[Symbol.asyncIterator]()
    expect(await events.next()).toMatchObject({ value: { type: 'begin' } })
    await client.task('a1', 't1').pause({ ttlMs: 60_000 })
    expect(await events.next()).toMatchObject({ value: { type: 'control', control: { taskId: 't1' } } })
    stop.abort(new Error('enough'))
    await expect(events.next()).rejects.toThrow('enough')
  })
})

describe('given a reply that streams through hub.fetch', () => {
  test('when its reader stands still > it is cut once the queue of a reader is full', async () => {
    const feed = await get('/downlink/api/v1/events', fixture.token)
    expect(feed.headers.get('cache-control'), 'a server that compresses would hold it back').toContain(
      'no-transform',
    )
    const reader = (feed.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    const args = { text: 'x'.repeat(limits.CONTROL_ARGS_BYTES_MAX - 100) }
    const count = Math.ceil((1.5 * limits.FEED_QUEUE_BYTES_MAX) / limits.CONTROL_ARGS_BYTES_MAX)
    for (let at = 0; at < count; at += 1) {
      const verb = { action: 'boost', taskId: `t${at}`, args }
      expect((await post('/downlink/api/v1/agents/a1/controls', fixture.token, verb)).status).toBe(201)
    }
    let bytes = 0
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
      bytes += chunk.value.length
    expect(bytes, 'what was queued still comes').toBeGreaterThan(limits.FEED_QUEUE_BYTES_MAX / 2)
  })

  test('when it is cancelled, or its request aborted > the hub lets go of it', async () => {
    const { hub, token } = fixture
    const stop = new AbortController()
    const [cancelled, aborted, before] = [
      await get('/downlink/api/v1/events', token),
      await get('/downlink/api/v1/events', token, { signal: stop.signal }),
      get('/downlink/healthz', '', { signal: AbortSignal.abort(new Error('too late')) }),
    ]
    await expect(before).rejects.toThrow('too late')
    await cancelled.body?.cancel()
    stop.abort(new Error('gone'))
    await expect(aborted.text()).rejects.toThrow(/abort/)
    // Whatever were still open would hold the stop up to its deadline, beyond that of this test.
    await hub.drain({ deadlineMs: 600_000 })
  })

  test('when the hub stops > the feed ends, and so does what nobody reads once the time is up', async () => {
    const { hub, token } = fixture
    const feed = await get('/downlink/api/v1/events', token)
    await hub.drain({ deadlineMs: 100 })
    await feed.text().catch(() => undefined)
    expect((await get('/downlink/api/v1/agents', token)).status, 'nothing is served any more').toBe(503)
  })
})

describe('given a body that is sent through hub.fetch', () => {
  const exchange = `${AGENT_API}/authkey/exchange`
  const streamed = (stream: ReadableStream<Uint8Array>, headers = {}): Promise<Response> =>
    fixture.hub.fetch(`${ORIGIN}${exchange}`, {
      method: 'POST',
      body: stream,
      duplex: 'half',
      headers: { 'content-type': 'application/json', ...headers },
    } as RequestInit)

  test('when it is too large, in too many parts or breaks off > it is refused and not read on', async () => {
    let sent = 0
    let isCancelled = false
    const endless = (bytes: number): ReadableStream<Uint8Array> =>
      new ReadableStream({
        pull(controller) {
          sent += bytes
          controller.enqueue(new Uint8Array(bytes).fill(0x20))
        },
        cancel: () => void (isCancelled = true),
      })
    for (const bytes of [65_536, 1]) {
      sent = 0
      isCancelled = false
      const reply = await streamed(endless(bytes))
      expect([reply.status, (await json(reply)).error]).toEqual([413, 'body_too_large'])
      await vi.waitUntil(() => isCancelled)
      expect(sent, 'it must stop near the limit').toBeLessThan(2 * limits.REQUEST_WIRE_BYTES_MAX)
    }
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error('the sender went away')),
    })
    await expect(streamed(broken)).rejects.toThrow('the sender went away')
  })

  test('when its announced length is not its own > only what came counts', async () => {
    const body = new Blob(['{"authKey":"x","agentId":"a2"}']).stream()
    const reply = await streamed(body, { 'content-length': '3' })
    expect([reply.status, (await json(reply)).error]).toEqual([401, 'invalid'])
  })

  test('when credentials are wrong too often > all callers without a right one are limited as one', async () => {
    const codes = new Set<number>()
    for (let count = 0; count <= limits.AUTH_FAILURES_BURST; count += 1) {
      codes.add((await get('/downlink/api/v1/agents', 'wrong')).status)
    }
    expect([...codes]).toEqual([401, 429])
    expect((await get('/downlink/api/v1/agents', fixture.token)).status).toBe(200)
  })
})
