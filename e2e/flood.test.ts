/** What a hostile hub can send without end, against an agent in a process of its own: each flood is cut by its own error, and the process stays small. */
import { limits } from '@downlink/protocol'
import { existsSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { describe, expect, test, vi } from 'vitest'
import type { FloodedCall, SupervisedReport } from './fixtures/flood-agent.ts'
import { startFlooded, type FloodedProcess } from './flood-process.ts'
import { startFloodServer, type FloodServer } from './flood-server.ts'
import { tellGrown } from './measured.ts'

/** Bytes that each flood offers, over as many connections as the agent cuts. */
const OFFERED_BYTES = 200_000_000
/** What the process may grow beyond what it held once it was warm, KiB. */
const GROWTH_KIB_MAX = 16_384
/** Good streams and good replies before that: the first full collection alone takes 17 MB for a moment. */
const WARM_CALLS = 100
/** Of the task of a whole agent before that, and while it is flooded. */
const WARM_TICKS = 200
/** Of one good stream. */
const WARM_EVENTS = 2
/** Where the system tells the most memory that a process ever held, and forgets it when asked. */
const canMeasure = existsSync('/proc/self/clear_refs')

const STREAM = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n'
const CHUNKED_STREAM =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const JSON_REPLY = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'
const x = (count: number): string => 'x'.repeat(count)
/** A megabyte in about a kilobyte; one after the other they are one gzip body. */
const BOMB = gzipSync(new Uint8Array(1_048_576))

type Case = readonly [what: string, call: FloodedCall, code: string, start: string, unit: string | Uint8Array]

const CASES: readonly Case[] = [
  ['a line', 'events', 'sse_line_too_long', `${STREAM}data: `, x(1_000)],
  ['an event of long lines', 'events', 'sse_event_too_large', STREAM, `data: ${x(1_000)}\n`],
  ['an event of bare data lines', 'events', 'sse_block_too_many_lines', STREAM, 'data\n'],
  ['a block of ids', 'events', 'sse_block_too_large', STREAM, `id: ${x(100)}\n`],
  ['a block of empty ids', 'events', 'sse_block_too_many_lines', STREAM, 'id\n'],
  ['a block of unknown fields', 'events', 'sse_block_too_large', STREAM, `f: ${x(1_000)}\n`],
  ['comments inside an event', 'events', 'sse_block_too_many_lines', `${STREAM}data: x\n`, ': hb\n'],
  ['a comment', 'events', 'sse_line_too_long', `${STREAM}: `, x(1_000)],
  ['ids without events', 'events', 'raw_bytes_exceeded', STREAM, `id: 1\n\n`],
  ['blank lines', 'events', 'raw_bytes_exceeded', STREAM, '\n'],
  ['retry lines', 'events', 'raw_bytes_exceeded', STREAM, 'retry: 1\n\n'],
  ['chunk extensions', 'events', 'raw_bytes_exceeded', CHUNKED_STREAM, `1;${x(8_000)}\r\n\n\r\n`],
  ['a chunk extension', 'events', 'raw_bytes_exceeded', `${CHUNKED_STREAM}1;`, x(1_000)],
  ['trailers', 'events', 'reply_headers_too_large', `${CHUNKED_STREAM}0\r\n`, `t: ${x(900)}\r\n`],
  ['a header', 'events', 'reply_headers_too_large', 'HTTP/1.1 200 OK\r\nh: ', x(1_000)],
  ['headers', 'events', 'reply_headers_too_large', 'HTTP/1.1 200 OK\r\n', `h: ${x(900)}\r\n`],
  ['tiny headers', 'events', 'reply_headers_too_large', 'HTTP/1.1 200 OK\r\n', 'h:\r\n'],
  ['spaces in a header', 'events', 'reply_headers_too_large', 'HTTP/1.1 200 OK\r\nh:', '          '],
  ['interim replies', 'events', 'too_many_interim_replies', '', 'HTTP/1.1 103 Early Hints\r\nh: x\r\n\r\n'],
  [
    'a gzip bomb',
    'events',
    'compressed_reply',
    STREAM.replace('\r\n', '\r\ncontent-encoding: gzip\r\n'),
    BOMB,
  ],
  ['the body of an error', 'events', 'http_503', 'HTTP/1.1 503 Busy\r\n\r\n', x(1_000)],
  ['a login page', 'events', 'not_a_hub', 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n', '<form>'],
  [
    'a text',
    'events',
    'not_an_event_stream',
    'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n',
    x(1_000),
  ],
  [
    'a redirect',
    'events',
    'redirect_refused',
    'HTTP/1.1 302 Found\r\nlocation: http://x.test/\r\n\r\n',
    '<a>',
  ],
  ['a JSON reply', 'sync', 'reply_too_large', `${JSON_REPLY}\r\n{"acked":[`, '"a",'],
  [
    'a JSON reply that says its length',
    'sync',
    'reply_too_large',
    `${JSON_REPLY}content-length: ${OFFERED_BYTES}\r\n\r\n{"acked":[`,
    '"a",',
  ],
  ['a JSON reply', 'wake', 'reply_too_large', `${JSON_REPLY}\r\n{"wake":"`, x(1_000)],
  ['a JSON reply', 'register', 'reply_too_large', `${JSON_REPLY}\r\n{"user":"`, x(1_000)],
  ['a JSON reply', 'exchange', 'reply_too_large', `${JSON_REPLY}\r\n{"apiKey":"`, x(1_000)],
  [
    'a padded JSON reply',
    'sync',
    'raw_bytes_exceeded',
    `${JSON_REPLY}transfer-encoding: chunked\r\n\r\n`,
    `1;${x(8_000)}\r\n \r\n`,
  ],
  ['a gzip bomb', 'sync', 'compressed_reply', `${JSON_REPLY}content-encoding: gzip\r\n\r\n`, BOMB],
  ['a login page', 'sync', 'not_a_hub', 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n', '<form>'],
  ['headers', 'sync', 'reply_headers_too_large', 'HTTP/1.1 200 OK\r\n', `h: ${x(900)}\r\n`],
  ['interim replies', 'sync', 'too_many_interim_replies', '', 'HTTP/1.1 102 Processing\r\n\r\n'],
  ['the body of an error', 'sync', 'http_503', 'HTTP/1.1 503 Busy\r\n\r\n', x(1_000)],
]

const NOT_OF_THE_FLOOD = new Set(['ended', 'answered', 'closed', 'client_closed'])

interface Flooded {
  readonly server: FloodServer
  readonly agent: FloodedProcess
}

/** An agent that has worked for a while, and then forgets how much it held meanwhile. */
async function startBoth(): Promise<Flooded & AsyncDisposable> {
  const server = await startFloodServer()
  const agent = await startFlooded([server.url])
  const warm = await agent.order({ order: 'warm', times: WARM_CALLS })
  expect(warm.ends, 'a good server must be understood first').toEqual({
    ended: WARM_CALLS,
    answered: WARM_CALLS,
  })
  agent.forgetPeak()
  return {
    server,
    agent,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

function expectSmall(
  what: string,
  agent: { peakKib(): number },
  beforeKib: number,
  server: FloodServer,
): void {
  const grownKib = agent.peakKib() - beforeKib
  tellGrown(what, server.offeredBytes, grownKib)
  expect(
    grownKib,
    `the agent grew by ${grownKib} KiB: find what holds what ${server.floodedEver} floods brought`,
  ).toBeLessThanOrEqual(GROWTH_KIB_MAX)
}

/** Waits for what depends on other processes. */
function until(what: string, probe: () => boolean): Promise<unknown> {
  return vi.waitUntil(probe, { timeout: 110_000, interval: 5 }).catch((error: unknown) => {
    throw new Error(`It never came to this: ${what}.`, { cause: error })
  })
}

function offered(server: FloodServer, bytes: number): Promise<unknown> {
  return until(`${bytes} bytes offered`, () => server.offeredBytes >= bytes)
}

describe.runIf(canMeasure)('given 200 MB', () => {
  test.for(CASES)(
    'of %s in answer to %s > %s, and the agent stays small',
    async ([what, call, code, start, unit]) => {
      await using both = await startBoth()
      const { server, agent } = both
      const beforeKib = agent.peakKib()
      server.play({ start, unit })
      agent.begin({ order: 'repeat', call })
      await offered(server, OFFERED_BYTES)
      expectSmall(`${what} in answer to ${call}: ${code}`, agent, beforeKib, server)
      const { ends } = await agent.order({ order: 'stop' })
      // The good ones, and the call that the stop itself ended, are not the flood's.
      const codes = Object.keys(ends).filter((end) => !NOT_OF_THE_FLOOD.has(end))
      expect(codes, 'each flood has an error of its own').toEqual([code])
    },
  )

  test('of pings > they are legal: the stream stays, the agent answers meanwhile and stays small', async () => {
    await using both = await startBoth()
    const { server, agent } = both
    const beforeKib = agent.peakKib()
    server.play({ start: STREAM, unit: ': hb n=1 t=1700000000000\n\n' })
    const over = agent.order({ order: 'once', call: 'events' })
    let last = 0
    for (let part = 1; part <= 4; part += 1) {
      await offered(server, (part * OFFERED_BYTES) / 4)
      const { events } = await agent.order({ order: 'ping' })
      expect(events, 'the reader got nothing meanwhile').toBeGreaterThan(last)
      last = events
    }
    expect([server.flooded, server.floodedEver], 'the stream was cut').toEqual([1, 1])
    await agent.order({ order: 'close' })
    expect((await over).ends.closed).toBe(1)
    expectSmall('pings', agent, beforeKib, server)
  })
})

describe.runIf(canMeasure)('given a flood', () => {
  test('of any kind that a stream can bring > close ends it before the bound does', async () => {
    await using both = await startBoth()
    const { server, agent } = both
    const kinds = CASES.filter(([, call, , start]) => call === 'events' && start.includes('event-stream'))
    expect(kinds.length).toBeGreaterThan(10)
    let closed = 0
    for (const [what, , code, start, unit] of kinds) {
      if (code === 'compressed_reply') continue
      server.play({ start, unit })
      closed += 5
      const { ends } = await agent.order({ order: 'hasty', times: 5 })
      expect(ends.closed, what).toBe(closed)
    }
    await until('all connections closed', () => server.flooded === 0)
  })

  test('that nobody reads > the agent takes little of it, and close returns while it is still offered', async () => {
    await using both = await startBoth()
    const { server, agent } = both
    const beforeKib = agent.peakKib()
    server.play({ start: STREAM, unit: `event: note\ndata: ${x(1_000)}\n\n` })
    const over = agent.order({ order: 'once', call: 'unread' })
    await offered(server, 1_000_000)
    await agent.order({ order: 'ping' })
    expect(server.flooded).toBe(1)
    await agent.order({ order: 'close' })
    const { ends, events } = await over
    expect([ends.closed, events]).toEqual([1, WARM_CALLS * WARM_EVENTS])
    expect(server.offeredBytes, 'more was read than anybody asked for').toBeLessThan(OFFERED_BYTES / 4)
    expectSmall('events that nobody reads', agent, beforeKib, server)
  })

  test('that drips into a reply > an abort ends the call at once', async () => {
    await using both = await startBoth()
    const { server, agent } = both
    server.play({ start: `${JSON_REPLY}\r\n{"a":"`, unit: 'x', restMs: 1 })
    for (const call of ['sync', 'wake', 'register', 'exchange'] as const) {
      const over = agent.order({ order: 'once', call })
      const from = server.offeredBytes
      await until('a drop offered', () => server.offeredBytes > from + 50)
      await agent.order({ order: 'abort' })
      await over
    }
    const { ends } = await agent.order({ order: 'ping' })
    expect(ends['Error: given up']).toBe(4)
    await until('all connections closed', () => server.flooded === 0)
  })

  test('that drips into an error > it is not waited for, though its bytes stay below their bound', async () => {
    await using both = await startBoth()
    const { server, agent } = both
    server.play({ start: 'HTTP/1.1 503 Busy\r\n\r\n', unit: 'x', restMs: 20 })
    const { ends } = await agent.order({ order: 'once', call: 'events' })
    expect(ends.http_503).toBe(1)
    expect(server.offeredBytes).toBeLessThan(limits.ERROR_BODY_BYTES_MAX)
  })
})

/** A whole agent with a task at work, that has had its stream for a while. @param args - further ones of the fixture. */
async function startWhole(...args: readonly string[]) {
  const json =
    '{"controls":[],"newTasks":[{"id":"t1","kind":"tick"}],"watching":false,"acked":[],"nextSyncMs":1000}'
  const server = await startFloodServer(json)
  server.play({ start: STREAM, unit: ': connected hb=15000\n\n', restMs: 5 }, '/events ')
  const agent = await startFlooded<SupervisedReport>([server.url, ...args], './fixtures/flood-supervised.ts')
  const status = (): Promise<SupervisedReport> => agent.order({ order: 'ping' })
  const worksOn = async (): Promise<void> => {
    const { ticks } = await status()
    await vi.waitUntil(async () => (await status()).ticks > ticks + WARM_TICKS, { timeout: 60_000 })
  }
  await worksOn()
  agent.forgetPeak()
  return {
    server,
    agent,
    status,
    worksOn,
    /** The stream that drips is cut, and so is whatever follows it; the next one floods. */
    flood(unit: string, start = STREAM) {
      server.play({ start, unit }, '/events ')
      server.cut()
    },
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

describe.runIf(canMeasure)('given a whole agent, started without a flag for its memory', () => {
  test.for([
    ['a line', `${STREAM}data: `, x(1_000)],
    ['an event', STREAM, `data: ${x(1_000)}\n`],
    ['bare data lines', STREAM, 'data\n'],
  ] as const)(
    'when 200 MB of %s come down its streams > it says that a bound is passed, stays small, and its task goes on',
    async ([what, start, unit]) => {
      await using whole = await startWhole('dials-at-once')
      const { server, agent, status, worksOn } = whole
      const beforeKib = agent.peakKib()
      whole.flood(unit, start)
      await offered(server, OFFERED_BYTES)
      server.play(undefined)
      expectSmall(`a whole agent and ${what}`, agent, beforeKib, server)
      expect(await status()).toMatchObject({ standing: 'ok', verdict: 'limit' })
      await worksOn()
    },
  )

  test('when more comes than a hub ever sends, all of it legal > it ends the stream, says so, and its task goes on', async () => {
    await using whole = await startWhole()
    const { server, agent, status, worksOn } = whole
    const beforeKib = agent.peakKib()
    whole.flood(': hb n=1 t=1700000000000\n\n')
    await vi.waitUntil(async () => (await status()).verdict === 'limit', { timeout: 60_000 })
    const cut = await status()
    expect(cut.standing).toBe('ok')
    expect(['timer', 'long-poll']).toContain(cut.downlink)
    await worksOn()
    expectSmall('a whole agent and pings', agent, beforeKib, server)
    expect(server.offeredBytes, 'it went on reading').toBeLessThan(OFFERED_BYTES / 4)
    expect((await agent.order({ order: 'stop' })).did).toBe('stop')
  })
})
