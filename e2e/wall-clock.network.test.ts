/** The wall clock of a hub, or of an agent, jumps by two hours while they run: nothing expires, storms or stalls. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFakeWall } from './fake-wall.ts'
import { markOnce } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNetworkAgent, type NetworkAgent } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'

/** Half of the jump: whatever counted its time by a wall clock would be over. */
const TTL_MS = 3_600_000
/** Heartbeats after the jump in which an agent that took them for late would have left its stream. */
const BEATS = 8
/** Of two agents within so many heartbeats of a second, where one is asked for a control and watched every 3 s meanwhile. */
const SYNCS_MAX = 12

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-wall-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function startAgent(
  hub: NetworkHub,
  agentId: string,
  credential: string,
  env: Readonly<Record<string, string>> = {},
): NetworkAgent {
  const stateDirectory = join(folder, `state-${hub.port}-${agentId}`)
  return startNetworkAgent({ hubs: [`http://127.0.0.1:${hub.port}`], stateDirectory }, credential, { env })
}

/** What the hub has counted. */
interface Counts {
  readonly streams: number
  readonly syncs: number
  readonly expired: number
}

async function countsOf(hub: NetworkHub): Promise<Counts> {
  const text = await (await fetch(`http://127.0.0.1:${hub.port}/metrics`)).text()
  const sum = (series: RegExp): number =>
    text
      .split('\n')
      .filter((line) => series.test(line))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  return {
    streams: sum(/^downlink_streams_accepted_total /),
    syncs: sum(/^downlink_sync_seconds_count /),
    expired: sum(/^downlink_controls_settled_total\{outcome="expired"\}/),
  }
}

/** Resolves once `count` more heartbeats came down a stream of its own. */
async function heartbeats(hub: NetworkHub, credential: string, count: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${hub.port}/api/internal/agent/events`, {
    headers: { authorization: `Bearer ${credential}`, accept: 'text/event-stream' },
  })
  let text = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (text.split(': hb n=').length > count) return
  }
  throw new Error(`The stream ended after this: ${text}`)
}

describe.concurrent('given a hub and an agent that are connected', () => {
  test.for([
    ['hub', '+2h'],
    ['hub', '-2h'],
    ['agent', '+2h'],
    ['agent', '-2h'],
  ] as const)(
    'when the wall clock of the %s jumps by %s > nothing expires, storms or stalls',
    async ([whose, offset]) => {
      const name = `${whose}${offset}`
      const wall = createFakeWall(folder, name)
      const isHubs = whose === 'hub'
      await using hub = await startNetworkHub({
        folder: join(folder, name),
        heartbeat: '1s',
        args: ['--open-metrics'],
        ...(isHubs ? { env: wall.env } : {}),
      })
      await using agent = startAgent(hub, 'a1', await hub.enroll('a1'), isHubs ? {} : wall.env)
      // Nobody asks anything of this one, so that it does not sync meanwhile.
      await using quiet = startAgent(hub, 'quiet', await hub.enroll('quiet'), isHubs ? {} : wall.env)
      await Promise.all([agent, quiet].map((one) => one.reaches('sse')))
      await markOnce(hub, agent, 'a1', 't-before')
      const { token } = await hub.call('POST', '/api/v1/operator-tokens', {
        name: 'ada',
        scopes: ['read'],
        ttlMs: TTL_MS,
      })
      const { key } = await hub.call('POST', '/api/v1/enrollment-keys', { uses: 2, ttlMs: TTL_MS })
      const [away, observer] = [await hub.enroll('away'), await hub.enroll('observer')]
      const waiting = await hub.mark('away', 't-waiting', { ttlMs: TTL_MS })
      // Each has heard the clock as it was.
      await heartbeats(hub, observer, 2)
      const before = await countsOf(hub)

      const watched = heartbeats(hub, observer, BEATS)
      wall.set(offset)
      await watched
      const issuedMs = performance.now()
      const control = await hub.mark('a1', 't-after')
      await agent.applies('mark t-after')
      const tookMs = performance.now() - issuedMs
      await hub.applied(control)

      const after = await countsOf(hub)
      // One is the observer's. An agent whose clock runs ahead may have been suspended: it dials anew, once.
      const streamsMax = 1 + (name === 'agent+2h' ? 2 : 0)
      expect(after.streams - before.streams, 'streams must stay open').toBeLessThanOrEqual(streamsMax)
      expect(after.syncs - before.syncs, 'syncs must keep their pace').toBeLessThanOrEqual(SYNCS_MAX)
      expect(after.expired, 'nothing may expire').toBe(0)
      for (const one of [agent, quiet])
        expect(one.status()).toMatchObject({ standing: 'ok', downlink: 'sse', path: { verdict: 'ok' } })
      expect(await hub.call('GET', '/api/v1/agents/a1')).toMatchObject({
        status: 'online',
        transport: 'stream',
      })

      const asAda = await fetch(`http://127.0.0.1:${hub.port}/api/v1/agents`, {
        headers: { authorization: `Bearer ${String(token)}` },
      })
      expect(asAda.status, 'a token must not expire by a wall clock').toBe(200)
      const exchange = { authKey: String(key), agentId: 'late' }
      expect(await hub.call('POST', '/api/internal/agent/authkey/exchange', exchange)).toHaveProperty(
        'apiKey',
      )
      await using back = startAgent(hub, 'away', away)
      await hub.applied(waiting)
      expect(back.timesApplied('mark t-waiting')).toBe(1)
      tellMeasured(`the wall clock of the ${whose} jumps by ${offset}`, {
        'a control is applied after': tookMs,
      })
    },
  )
})
