/** An agent that stood still, as when its machine is suspended, and one whose wall clock jumps. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFakeWall } from './fake-wall.ts'
import { mark, markOnce } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNetworkAgent, type NetworkAgent } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'

/** Longer than the 5 s after which a stream with heartbeats of 1 s is silent. */
const TTL_MS = 7_000
const HOUR_MS = 3_600_000

let folder: string
let hub: NetworkHub

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-suspend-'))
  hub = await startNetworkHub({ folder: join(folder, 'hub'), heartbeat: '1s' })
})

afterAll(async () => {
  await hub[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function agentOf(agentId: string, env: Readonly<Record<string, string>> = {}): Promise<NetworkAgent> {
  const config = { hubs: [`http://127.0.0.1:${hub.port}`], stateDirectory: join(folder, `state-${agentId}`) }
  const agent = startNetworkAgent(config, await hub.enroll(agentId), { env })
  await agent.reaches('sse')
  return agent
}

/** Waits until the hub has given a control up. */
async function expired(controlId: string): Promise<void> {
  let outcome: unknown
  while ((outcome as { state?: unknown } | undefined)?.state !== 'expired') {
    ;({ outcome } = await hub.call('GET', `/api/v1/controls/${controlId}?wait=20s`))
  }
}

describe.concurrent('given an agent that hears its hub by a stream', () => {
  test('when it stood still > what was pushed meanwhile is not applied before the hub has confirmed it', async () => {
    await using agent = await agentOf('stood-still')
    await markOnce(hub, agent, 'stood-still', 't-before')
    agent.child.kill('SIGSTOP')
    const stoppedMs = Date.now()
    const brief = await hub.mark('stood-still', 't-brief', { ttlMs: TTL_MS })
    const lasting = await mark(hub, agent, 'stood-still', 't-lasting')
    await expired(brief)
    const continuedMs = Date.now()
    agent.child.kill('SIGCONT')
    const appliedMs = await lasting.settled()
    const streamMs = Date.now()
    await markOnce(hub, agent, 'stood-still', 't-after')
    expect(agent.timesApplied('mark t-brief'), 'its time to live was over, as only the hub can tell').toBe(0)
    const { outcome, lateOutcome } = await hub.call('GET', `/api/v1/controls/${brief}`)
    expect([outcome, lateOutcome]).toMatchObject([{ state: 'expired' }, undefined])
    tellMeasured('an agent that stood still', {
      'it stood still for': continuedMs - stoppedMs,
      'what holds was applied after': appliedMs - continuedMs,
      'and known at the hub after': streamMs - continuedMs,
    })
  })

  test.for([
    ['forward', '+2h', (byMs: number) => byMs > HOUR_MS],
    ['backward', '-2h', (byMs: number) => byMs < -HOUR_MS],
  ] as const)(
    'when its wall clock jumps %s > controls are applied, once',
    async ([name, offset, hasJumped]) => {
      const wall = createFakeWall(folder, name)
      await using agent = await agentOf(name, wall.env)
      await markOnce(hub, agent, name, 't-before')
      wall.set(offset)
      const issuedMs = Date.now()
      const control = await hub.mark(name, 't-after')
      const saidMs = await agent.applies('mark t-after')
      await hub.applied(control)
      const knownMs = Date.now()
      expect(hasJumped(saidMs - issuedMs), 'the clock of the agent must have jumped').toBe(true)
      await agent.until(
        'it is on a stream',
        (lines) => lines.findLast(({ status }) => status !== undefined)?.status?.downlink === 'sse',
      )
      await hub.applied(await hub.mark(name, 't-later'))
      for (const taskId of ['t-after', 't-later']) expect(agent.timesApplied(`mark ${taskId}`)).toBe(1)
      tellMeasured(`a wall clock that jumps ${name}`, {
        'a control known at the hub after': knownMs - issuedMs,
      })
    },
  )
})
