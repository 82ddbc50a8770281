/** What an agent has open when its standing changes: streams and polls end at once, also those that were just opening. */
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import {
  boot,
  interruptedStore,
  ours,
  startHub,
  type AgentFixture,
  type HubFixture,
  type RawStream,
  type Reply,
} from '../../test/hub-fixture.ts'
import { createHub } from '../index.ts'

const pause = { action: 'pause', taskId: 't1' }

/** Stands still: whatever ends here ends without waiting for anything. */
let clock: TestClock
let hub: HubFixture
let agent: AgentFixture
let work: (() => Promise<unknown>) | undefined
beforeEach(async () => {
  clock = createTestClock()
  work = undefined
  hub = await startHub({
    clock,
    wrapStore: (store) => interruptedStore(store, 'read', () => work?.()),
  })
  agent = await hub.enroll('a1')
})
afterEach(() => hub[Symbol.asyncDispose]())

/** Does `step` between the check of the next request's key and what that request opens. */
function meanwhile(step: () => Promise<unknown>): void {
  work = () => {
    work = undefined
    return step()
  }
}

/** Starts a poll; resolves once the hub holds it. */
async function heldPoll(): Promise<{ reply: Promise<Reply> }> {
  const before = clock.pendingTimers
  const reply = agent.wake(boot('boot-1', 2))
  await expect
    .poll(() => clock.pendingTimers, { message: 'the poll is not held: it was answered or refused' })
    .toBeGreaterThan(before)
  return { reply }
}

const revoke = (): Promise<Reply> => hub.operator('DELETE', '/api/v1/agents/a1')

async function enrollAgain(): Promise<AgentFixture> {
  const authKey = await hub.enrollmentKey({ agentId: 'a1' })
  const { body } = await hub.exchange({ authKey, agentId: 'a1' })
  return hub.agent('a1', body.apiKey as string)
}

async function status(): Promise<string> {
  return (await hub.operator('GET', '/api/v1/agents/a1')).body.status as string
}

describe('given an agent with a stream and a poll', () => {
  test('when it is revoked (R-62) > both end at once, and every way back is refused, also by the next hub', async () => {
    await agent.sync(ours(1))
    await using stream = await agent.openStream(boot('boot-1', 1))
    const poll = await heldPoll()
    expect((await revoke()).status).toBe(204)
    await stream.ended
    const refused = [410, 'agent_revoked']
    const answered = await poll.reply
    expect([answered.status, answered.body.error]).toEqual(refused)
    await using next = await createHub({ store: hub.store, clock })
    const nextUrl = await next.listen({ port: 0 })
    for (const url of [hub.url, nextUrl]) {
      for (const path of ['events', 'wake', 'sync', 'register']) {
        const reply = await fetch(new URL(`/api/internal/agent/${path}`, url), {
          method: path === 'events' || path === 'wake' ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${agent.apiKey}` },
        })
        expect([reply.status, ((await reply.json()) as { error: string }).error], path).toEqual(refused)
      }
    }
    const made = await hub.operator('POST', '/api/v1/agents/a1/controls', pause)
    expect([made.status, made.body.error]).toEqual(refused)
  })

  test('when it is enrolled anew by a key that names it (R-63) > both end, and the key before is retired', async () => {
    await agent.sync(ours(1))
    await using stream = await agent.openStream(boot('boot-1', 1))
    const poll = await heldPoll()
    const again = await enrollAgain()
    await stream.ended
    expect((await poll.reply).body).toEqual({ wake: true })
    expect((await agent.sync(ours(3))).body.error).toBe('key_retired')
    expect((await again.sync(ours(4))).status).toBe(200)
  })
})

describe('given a request whose key was right a moment ago', () => {
  const changes = [
    { what: 'revoked', step: revoke, expected: [410, 'agent_revoked'] },
    { what: 'enrolled anew', step: enrollAgain, expected: [401, 'key_retired'] },
  ] as const

  test.for(changes)('when its agent is $what before the stream is there > that ends', async ({ step }) => {
    meanwhile(step)
    await using stream = await agent.openStream(boot('boot-1', 1))
    await stream.ended
    expect(work, 'the step must have come between').toBeUndefined()
  })

  test.for(changes)(
    'when its agent is $what before the poll is held > that is refused',
    async ({ step, expected }) => {
      meanwhile(step)
      const refused = await agent.wake(boot('boot-1', 1))
      expect([refused.status, refused.body.error]).toEqual(expected)
    },
  )

  test('when it asks for a successor > none is made for a key that was replaced (R-67)', async () => {
    await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    meanwhile(enrollAgain)
    const refused = await agent.call('POST', 'register', { agentId: 'a1', bootNonce: 'boot-1' })
    expect([refused.status, refused.body]).toMatchObject([401, { error: 'key_retired' }])
    expect(refused.body).not.toHaveProperty('agentKey')
  })
})

describe('given an older and a newer copy of one identity (R-52)', () => {
  const newer = { bootNonce: 'boot-2' }

  test('when the newer syncs while the older has the stream > that ends, and its place is free', async () => {
    await agent.sync(ours(1))
    await using older = await agent.openStream(boot('boot-1', 2))
    await older.until(/connected/)
    await agent.sync({ ...ours(1), ...newer })
    await older.ended
    await using stream = await agent.openStream(boot('boot-2', 2))
    await hub.operator('POST', '/api/v1/agents/a1/controls', pause)
    await stream.until(/event: command/)
  })

  test('when the older says good-bye > the newer keeps its stream', async () => {
    await agent.sync(ours(1))
    await agent.sync({ ...ours(1), ...newer })
    await using stream = await agent.openStream(boot('boot-2', 2))
    const bye = await agent.call('POST', 'deregister', { agentId: 'a1', bootNonce: 'boot-1' })
    expect([bye.status, bye.body.error]).toEqual([409, 'agent_hash_taken'])
    await hub.operator('POST', '/api/v1/agents/a1/controls', pause)
    await stream.until(/event: command/)
  })

  test.each(['events', 'wake', 'register', 'deregister'])(
    'when the older only tries %s > operators see that there are two',
    async (path) => {
      await agent.sync(ours(1))
      await agent.sync({ ...ours(1), ...newer })
      expect(await status()).toBe('online')
      const isGet = path === 'events' || path === 'wake'
      const refused = await fetch(new URL(`/api/internal/agent/${path}`, hub.url), {
        method: isGet ? 'GET' : 'POST',
        headers: { authorization: `Bearer ${agent.apiKey}`, ...boot('boot-1', 2) },
        ...(isGet ? {} : { body: JSON.stringify({ agentId: 'a1', bootNonce: 'boot-1' }) }),
      })
      await refused.body?.cancel()
      expect([refused.status, await status()]).toEqual([409, 'cloned'])
    },
  )
})

test('given two copies of an original that come back 2 s after each end (R-03) > they do not kick each other in a loop', async () => {
  const minutes = 3
  const open: (RawStream | undefined)[] = [undefined, undefined]
  let admitted = 0
  for (let passedMs = 0; passedMs < minutes * 60_000; passedMs += 2_000) {
    for (const copy of [0, 1]) {
      if (open[copy] !== undefined) continue
      const stream = await agent.openStream()
      if (stream.status !== 200) continue
      admitted += 1
      await open[1 - copy]?.ended
      open[1 - copy] = undefined
      open[copy] = stream
    }
    clock.advance(2_000)
  }
  expect(admitted, 'each minute admits five, and the first displaces nobody').toBeLessThanOrEqual(
    1 + minutes * limits.ORIGINAL_DISPLACEMENTS_MAX,
  )
  expect(await status(), 'operators must see that there are two').toBe('cloned')
  await hub.operator('POST', '/api/v1/agents/a1/controls', pause)
  await (open[0] ?? open[1])?.until(/event: command/)
})
