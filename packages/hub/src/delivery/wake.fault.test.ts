/** GET wake over real sockets: level-triggered, held, replaced, ended. */
import { connect } from 'node:net'
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import {
  boot,
  ours,
  startHub,
  type AgentFixture,
  type HubFixture,
  type Reply,
} from '../../test/hub-fixture.ts'

const controls = '/api/v1/agents/a1/controls'
const pause = { action: 'pause', taskId: 't1' }
const running = { taskId: 't1', status: 'running', progress: 0.5, updatedAt: 1 }

let clock: TestClock
let hub: HubFixture
let agent: AgentFixture

beforeEach(async () => {
  clock = createTestClock()
  hub = await startHub({ clock })
  agent = await hub.enroll('a1')
})
afterEach(() => hub[Symbol.asyncDispose]())

/** Starts a poll; resolves once the hub holds it, which shows as a timer on the clock that stands still. */
async function held(
  headers?: Record<string, string>,
  of: AgentFixture = agent,
): Promise<{ reply: Promise<Reply> }> {
  const before = clock.pendingTimers
  const reply = of.wake(headers)
  await expect
    .poll(() => clock.pendingTimers, { message: 'the poll is not held: it was answered or refused' })
    .toBeGreaterThan(before)
  return { reply }
}

const woken = { status: 200, body: { wake: true } }
const notWoken = { status: 200, body: { wake: false } }

describe('given an agent of ours that has synced', () => {
  beforeEach(async () => void (await agent.sync(ours(1))))

  test('when nothing changes > its poll is held to the end, and it counts as online by poll', async () => {
    const poll = await held(boot('boot-1', 2))
    clock.advance(limits.WAKE_HOLD_MS_MAX - 1)
    expect((await hub.operator('GET', '/api/v1/agents/a1')).body).toMatchObject({
      status: 'online',
      transport: 'poll',
    })
    clock.advance(1)
    expect(await poll.reply).toMatchObject(notWoken)
  })

  test('when a control is made > the held poll is answered, and so is every one until a sync has shown it', async () => {
    const poll = await held(boot('boot-1', 2))
    await hub.operator('POST', controls, pause)
    expect(await poll.reply).toMatchObject(woken)
    expect(await agent.wake(boot('boot-1', 3))).toMatchObject(woken)
    expect(await agent.wake(boot('boot-1', 4)), 'ours may ask as often as it likes').toMatchObject(woken)
    expect((await agent.sync(ours(5))).body.controls).toHaveLength(1)
    const next = await held(boot('boot-1', 6))
    await hub.operator('POST', controls, { action: 'resume', taskId: 't1' })
    expect(await next.reply).toMatchObject(woken)
  })

  test('when its own sync changes the mailbox > the poll stays held: the reply said it all', async () => {
    const made = await hub.operator('POST', controls, pause)
    const { controlId, epoch, revision } = (await agent.sync(ours(2))).body.controls[0]
    const poll = await held(boot('boot-1', 3))
    await agent.sync(ours(4, { outcomes: [{ controlId, epoch, revision, state: 'applied' }] }))
    const settled = await hub.operator('GET', `/api/v1/controls/${made.body.controlId}`)
    expect(settled.body.outcome.state).toBe('applied')
    clock.advance(limits.WAKE_HOLD_MS_MAX)
    expect(await poll.reply).toMatchObject(notWoken)
  })

  test('when a reply cannot carry everything > the next poll brings the agent back for the rest', async () => {
    for (let n = 0; n <= limits.NEW_TASKS_PER_SYNC_MAX; n++) {
      await hub.operator('POST', '/api/v1/agents/a1/tasks', { kind: 'k' })
    }
    await agent.sync(ours(2, { freeSlots: 100 }))
    expect(await agent.wake(boot('boot-1', 3))).toMatchObject(woken)
  })

  test('when a newer poll arrives > the older one is answered false, and a late one of the same boot at once', async () => {
    const first = await held(boot('boot-1', 5))
    const second = agent.wake(boot('boot-1', 6))
    expect(await first.reply).toMatchObject(notWoken)
    expect(await agent.wake(boot('boot-1', 4))).toMatchObject(notWoken)
    await hub.operator('POST', controls, pause)
    expect(await second).toMatchObject(woken)
  })

  test('when an operator asks for a sync > the poll is answered, or the next one if none is held', async () => {
    const poll = await held(boot('boot-1', 2))
    expect((await hub.operator('POST', '/api/v1/agents/a1/sync')).body).toEqual({ nudged: true })
    expect(await poll.reply).toMatchObject(woken)
    await agent.sync(ours(3))
    expect((await hub.operator('POST', '/api/v1/agents/a1/sync')).body).toEqual({ nudged: false })
    expect(await agent.wake(boot('boot-1', 4))).toMatchObject(woken)
  })

  test('when it is revoked, says good-bye, or the hub drains > a held poll is answered at once', async () => {
    const gone = await held(boot('boot-1', 2))
    await agent.call('POST', 'deregister', { agentId: 'a1' })
    expect(await gone.reply).toMatchObject(notWoken)
    const revoked = await held(boot('boot-1', 3))
    await hub.operator('DELETE', '/api/v1/agents/a1')
    expect(await revoked.reply).toMatchObject({ status: 410, body: { error: 'agent_revoked' } })
    const other = await hub.enroll('a2')
    await other.sync({ journalId: 'j' })
    const drained = await held(boot('b', 1), other)
    await hub.hub.drain()
    expect(await drained.reply).toMatchObject(notWoken)
  })

  test('when an older boot polls > it is told that its identity is taken', async () => {
    await agent.sync({ journalId: 'j', bootNonce: 'boot-2', connectCounter: 1 })
    expect(await agent.wake(boot('boot-1', 9))).toMatchObject({
      status: 409,
      body: { error: 'agent_hash_taken' },
    })
  })

  test('when whoever polls goes away > nothing of the poll stays', async () => {
    const before = clock.pendingTimers
    const socket = connect(Number(hub.url.port), hub.url.hostname)
    socket.write(
      `GET /api/internal/agent/wake HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${agent.apiKey}\r\n\r\n`,
    )
    await expect.poll(() => clock.pendingTimers).toBe(before + 1)
    socket.destroy()
    await expect.poll(() => clock.pendingTimers).toBe(before)
  })
})

describe('given an agent that this life of the hub has not heard', () => {
  test('when it polls > it is told to come: what it knows is unknown', async () => {
    expect(await agent.wake(boot('boot-1', 1))).toMatchObject(woken)
  })
})

describe('given an original', () => {
  test('when there is always something > it is told so once a second', async () => {
    await agent.sync({ tasks: [running] })
    await hub.operator('POST', controls, pause)
    expect(await agent.wake()).toMatchObject(woken)
    const second = await held()
    clock.advance(limits.ORIGINAL_WAKE_MS - 1)
    const probe = await hub.operator('GET', '/healthz')
    expect(probe.status).toBe(200)
    clock.advance(1)
    expect(await second.reply).toMatchObject(woken)
    expect((await agent.sync({ tasks: [running] })).body.controls).toHaveLength(1)
    const third = await held()
    clock.advance(limits.WAKE_HOLD_MS_MAX)
    expect(await third.reply, 'a sync has shown it').toMatchObject(notWoken)
  })

  test('when two copies take each other’s place > further ones are refused for a while, and it shows as cloned', async () => {
    await agent.sync()
    const polls = [(await held()).reply]
    for (let n = 0; n < limits.ORIGINAL_DISPLACEMENTS_MAX; n++) {
      polls.push(agent.wake())
      expect(await polls[n]).toMatchObject(notWoken)
    }
    const refused = await agent.wake()
    expect([refused.status, refused.body.error]).toEqual([503, 'too_many_streams'])
    expect(refused.headers.get('retry-after')).toBe('60')
    expect((await hub.operator('GET', '/api/v1/agents/a1')).body.status).toBe('cloned')
    clock.advance(limits.WAKE_HOLD_MS_MAX)
    expect(await polls.at(-1)).toMatchObject(notWoken)
  })
})

test('given a hub told to hold polls shortly > one ends by itself, on the real clock', async () => {
  await using short = await startHub({ hub: { wakeHoldMs: limits.WAKE_HOLD_MS_MIN } })
  const quick = await short.enroll('a1')
  await quick.sync(ours(1))
  expect(await quick.wake(boot('boot-1', 2))).toMatchObject(notWoken)
  await expect(startHub({ hub: { wakeHoldMs: 60_000 } })).rejects.toThrow(/wakeHoldMs must be .* 28000/)
})
