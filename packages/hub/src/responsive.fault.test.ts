/** One who is at a limit, of each kind, and everybody else: their syncs are answered, their heartbeats come, operators are served. */
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  boot,
  openRawStream,
  ours,
  startHub,
  type AgentFixture,
  type HubFixture,
  type RawStream,
} from '../test/hub-fixture.ts'
import { listen, type Listening } from '../test/listen.ts'
import { head, openRawClient, type RawClient } from '../test/raw-client.ts'
import { createHttpServer } from './http-server.ts'
import { createOperatorToken } from './operator/operator-tokens.ts'

let hub: HubFixture
let greedy: AgentFixture
let other: AgentFixture
let stream: RawStream
let greedyToken: string
/** Ended after each test, whatever came of it. */
let open: AsyncDisposable[]

beforeEach(async () => {
  open = []
  hub = await startHub({ hub: { operatorRequestsPerS: OPERATOR_PER_S } })
  greedy = await hub.enroll('greedy')
  other = await hub.enroll('other')
  greedyToken = (await createOperatorToken(hub.store, { name: 'greedy', scopes: ['admin'] })).token
  await other.sync(ours(1))
  stream = await other.openStream(boot('boot-1', 2))
  await stream.until(/connected/)
})
afterEach(async () => {
  await Promise.all(open.map((one) => one[Symbol.asyncDispose]()))
  await hub[Symbol.asyncDispose]()
})

const SYNCS = 10
const HEARTBEATS = 5
const TIMES = 400
const AT_ONCE = 50
/** Enough for those who wait or fill a mailbox, and soon used up by one who asks without rest. */
const OPERATOR_PER_S = 75
const FAR_CONNECTIONS = 60

const heartbeats = (): number => stream.text.split(': hb ').length - 1
const asGreedy = (path: string, { headers, ...init }: RequestInit = {}): Promise<Response> => {
  const all = new Headers(headers)
  all.set('authorization', `Bearer ${greedyToken}`)
  return fetch(new URL(path, hub.url), { ...init, headers: all })
}
const feed = (): Promise<RawStream> =>
  openRawStream(new URL('/api/v1/events', hub.url), { authorization: `Bearer ${greedyToken}` })
async function rawClient(bytes: string, url = hub.url): Promise<RawClient> {
  const client = await openRawClient(url)
  open.push(client)
  client.write(bytes)
  return client
}
/** A server of the same hub whose senders all have one address far away. */
async function fromAfar(): Promise<Listening> {
  const isProxy = (): boolean => false
  const server = createHttpServer(
    (request, response) => {
      Object.defineProperty(request.socket, 'remoteAddress', { value: '203.0.113.1', configurable: true })
      hub.hub.handler(request, response)
    },
    { isProxy, connectionsPerAddress: FAR_CONNECTIONS },
  )
  const listening = await listen(server)
  open.push(listening)
  return listening
}
/** Asks at least so many times, and on until something was refused: how fast the machine is does not matter. */
async function refusalsOf(
  ask: (n: number) => Promise<{ readonly status: number; readonly headers: Headers }>,
): Promise<number> {
  let refused = 0
  for (let n = 0; n < TIMES || (refused === 0 && n < 10 * TIMES); n += AT_ONCE) {
    const replies = await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => ask(n + index)))
    for (const { status, headers } of replies) {
      if (isRefused(status)) refused++
      if (status === 429 || status === 503) {
        expect(headers.get('retry-after'), `${status} does not say when to come back`).toMatch(/^\d+$/)
      }
    }
  }
  return refused
}
const isRefused = (status: number): boolean => status === 409 || status === 429 || status === 503
const refusedWithTime = (streams: readonly RawStream[]): number =>
  streams.filter(({ status, headers }) => status === 503 && headers['retry-after'] !== undefined).length

/** Each brings one who asks to its limit, keeps on, and says how often it was refused. */
const GREEDY: readonly (readonly [what: string, act: () => Promise<number>])[] = [
  ['an agent that asks without rest', () => refusalsOf(() => greedy.sync())],
  ['an operator who asks without rest', () => refusalsOf(() => asGreedy('/api/v1/agents?limit=1'))],
  ['an address that tries keys', () => refusalsOf(() => hub.agent('greedy', 'forged').sync())],
  [
    'an address that exchanges enrollment keys',
    async () => {
      const { url } = await fromAfar()
      return refusalsOf(() =>
        fetch(new URL('/api/internal/agent/authkey/exchange', url), {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ authKey: 'dle.wrong', agentId: 'greedy' }),
        }),
      )
    },
  ],
  [
    'an address that opens connections',
    async () => {
      const { url } = await fromAfar()
      const begun = `${head('GET', '/healthz')}\r\n`
      const clients: RawClient[] = []
      for (let n = 0; n < FAR_CONNECTIONS + 20; n++) clients.push(await rawClient(begun, url))
      const refused = (): number =>
        clients.filter(({ text }) => /^HTTP\/1\.1 503 [^]*Retry-After: \d/.test(text)).length
      await expect.poll(refused).toBeGreaterThanOrEqual(20)
      return refused()
    },
  ],
  [
    'an operator who fills a mailbox',
    async () => {
      const issue = (n: number): Promise<Response> =>
        asGreedy('/api/v1/agents/greedy/controls', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ action: 'pause', taskId: `t${n}` }),
        })
      return refusalsOf(issue)
    },
  ],
  [
    'an operator who waits for everything',
    async () => {
      const made = await asGreedy('/api/v1/agents/greedy/controls', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ action: 'pause', taskId: 't' }),
      })
      const { controlId } = (await made.json()) as { controlId: string }
      const path = `/api/v1/controls/${encodeURIComponent(controlId)}?wait=50s`
      const wait = `${head('GET', path, { authorization: `Bearer ${greedyToken}` })}\r\n`
      const clients = await Promise.all(
        Array.from({ length: limits.WAITERS_PER_TOKEN_MAX + 20 }, () => rawClient(wait)),
      )
      const refused = (): number =>
        clients.filter(({ text }) => /retry-after: \d[^]*too_many_waiters/i.test(text)).length
      await expect.poll(refused).toBeGreaterThanOrEqual(20)
      return refused()
    },
  ],
  [
    'an operator who opens feeds',
    async () => {
      const feeds = await Promise.all(Array.from({ length: limits.FEED_STREAMS_PER_TOKEN_MAX + 20 }, feed))
      open.push(...feeds)
      return refusedWithTime(feeds)
    },
  ],
  [
    'an original whose copies take each other\u2019s stream',
    async () => {
      const streams: RawStream[] = []
      for (let n = 0; n < 4 * limits.ORIGINAL_DISPLACEMENTS_MAX; n++) streams.push(await greedy.openStream())
      return refusedWithTime(streams)
    },
  ],
  [
    'senders of bodies that never end',
    async () => {
      const body = { authorization: `Bearer ${greedy.apiKey}`, 'content-type': 'application/json' }
      const begun = `${head('POST', '/api/internal/agent/sync', { ...body, 'transfer-encoding': 'chunked' })}\r\n`
      const endless = begun + '1\r\n \r\n'.repeat(limits.REQUEST_PARTS_MAX + 1)
      const clients = await Promise.all(Array.from({ length: 50 }, () => rawClient(endless)))
      await Promise.all(clients.map(({ closed }) => closed))
      return clients.filter(({ text }) => text === '' || text.includes(' 413 ')).length
    },
  ],
]

describe.each(GREEDY)('given %s', (_what, act) => {
  test('when it is at its limit > others sync, get their heartbeats, and operators are served', async () => {
    const refused = act()
    const before = heartbeats()
    for (let n = 0; n < SYNCS; n++) {
      expect((await other.sync(ours(3 + n))).status, 'another agent is not served').toBe(200)
    }
    expect(await refused, 'the limit was not reached: ask for more').toBeGreaterThan(0)
    await expect
      .poll(() => heartbeats() - before, { message: 'the heartbeats of another agent stopped' })
      .toBeGreaterThanOrEqual(HEARTBEATS)
    expect((await other.sync(ours(3 + SYNCS))).status).toBe(200)
    const made = await hub.operator('POST', '/api/v1/agents/other/controls', {
      action: 'pause',
      taskId: 't1',
    })
    expect(made.status, 'another operator is not served').toBe(201)
    await stream.until(/event: command/)
  })
})
