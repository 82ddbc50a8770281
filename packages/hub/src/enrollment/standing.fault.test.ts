/** Keys and standing at the hub over real sockets: rotation, revocation, copies of one identity. */
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
  type Reply,
} from '../../test/hub-fixture.ts'
import { createHub, StoreError } from '../index.ts'

const pause = { action: 'pause', taskId: 't1' }

let clock: TestClock
let hub: HubFixture
let agent: AgentFixture
beforeEach(async () => {
  clock = createTestClock()
  hub = await startHub({ clock, hub: { agentKeyAgeMsMax: 86_400_000 } })
  agent = await hub.enroll('a1')
})
afterEach(() => hub[Symbol.asyncDispose]())

async function record(): Promise<Record<string, unknown>> {
  return (await hub.operator('GET', '/api/v1/agents/a1')).body as Record<string, unknown>
}

/** Asks as the agent does for the key that follows its own. */
async function register(who: AgentFixture, more: object = {}): Promise<string | undefined> {
  const { body } = await who.call('POST', 'register', { agentId: 'a1', ...more } as never)
  return body.agentKey as string | undefined
}

describe('given an operator who wants another key', () => {
  test('when the agent asks for it > both are valid until the new one is used, and then only that', async () => {
    expect(await register(agent), 'no key is made that nobody wants').toBeUndefined()
    const asked = await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    expect([asked.status, asked.body.keyRotation]).toEqual([200, 'asked'])
    expect((await agent.sync(ours(1))).body.rotateKey).toBe(true)
    const next = hub.agent('a1', (await register(agent)) ?? '')
    expect((await agent.sync(ours(2))).body.rotateKey, 'it is wanted until it is used').toBe(true)
    await using stream = await agent.openStream(boot('boot-1', 3))
    await stream.until(/connected/)
    const first = await next.sync(ours(4))
    expect([first.status, first.body.rotateKey]).toEqual([200, undefined])
    await stream.ended
    const old = await agent.sync(ours(5))
    expect([old.status, old.body.error]).toEqual([401, 'key_retired'])
    expect((await record()).keyRotation).toBeUndefined()
    expect(await register(next)).toBeUndefined()
  })

  test('when the replies are lost > each asking brings another key, and any of them will do', async () => {
    await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    const [first, second] = [(await register(agent)) ?? '', (await register(agent)) ?? '']
    expect((await agent.sync()).status, 'the old key is valid until another was used').toBe(200)
    expect((await hub.agent('a1', first).sync()).status).toBe(200)
    expect((await hub.agent('a1', second).sync()).body.error).toBe('key_retired')
    expect((await hub.agent('a1', first).sync()).status).toBe(200)
  })

  test('when an older boot asks > it gets no key, which would lock out the newer', async () => {
    await agent.sync(ours(1))
    await agent.sync({ ...ours(1), bootNonce: 'boot-2' })
    await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    expect(await register(agent, { bootNonce: 'boot-1', connectCounter: 2 })).toBeUndefined()
    expect(await register(agent, { bootNonce: 'boot-2', connectCounter: 2 })).toMatch(/^dla\./)
  })

  test('when there is no such agent, or it was revoked > that is said', async () => {
    const unknown = await hub.operator('POST', '/api/v1/agents/nobody/rotate-key')
    expect([unknown.status, unknown.body.error]).toEqual([404, 'agent_not_found'])
    await hub.operator('DELETE', '/api/v1/agents/a1')
    const revoked = await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    expect([revoked.status, revoked.body.error]).toEqual([410, 'agent_revoked'])
  })
})

test('given a key that is older than it may get > the agent is told to replace it, once it is', async () => {
  expect((await agent.sync(ours(1))).body.rotateKey).toBeUndefined()
  clock.advance(86_400_001)
  expect((await agent.sync(ours(2))).body.rotateKey).toBe(true)
  const next = hub.agent('a1', (await register(agent)) ?? '')
  expect((await next.sync(ours(3))).body.rotateKey).toBeUndefined()
})

describe('given a revocation', () => {
  test('when it is committed > current, new and retired keys are all told so, and an unknown one is not', async () => {
    await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    const current = hub.agent('a1', (await register(agent)) ?? '')
    await current.sync()
    await hub.operator('POST', '/api/v1/agents/a1/rotate-key')
    const pending = hub.agent('a1', (await register(current)) ?? '')
    expect((await hub.operator('DELETE', '/api/v1/agents/a1')).status).toBe(204)
    for (const key of [agent, current, pending]) {
      const refused = await key.sync()
      expect([refused.status, refused.body.error]).toEqual([410, 'agent_revoked'])
    }
    const again = await hub.exchange({ authKey: await hub.enrollmentKey(), agentId: 'a1' })
    expect(again.status).toBe(200)
    for (const key of [agent, current, pending]) {
      const refused = await key.sync()
      expect([refused.status, refused.body.error], 'only a tombstone may wipe a credential').toEqual([
        401,
        'unauthorized',
      ])
    }
  })

  test('when controls are open > they fail as agent_revoked, and who waits for one learns it', async () => {
    await agent.sync(ours(1))
    const waited = hub.operator('POST', '/api/v1/agents/a1/controls?wait=20s&until=applied', pause)
    await expect
      .poll(async () => (await record()).openControls, { message: 'the pause must be open' })
      .toBe(1)
    await agent.sync(ours(2))
    const unsent = await hub.operator('POST', '/api/v1/agents/a1/controls', { ...pause, taskId: 't2' })
    await hub.operator('DELETE', '/api/v1/agents/a1')
    expect((await waited).body).toMatchObject({
      outcome: { state: 'failed', code: 'agent_revoked' },
      mayHaveApplied: true,
    })
    const { body } = await hub.operator('GET', `/api/v1/controls/${unsent.body.controlId}`)
    expect(body.outcome).toMatchObject({ state: 'failed', code: 'agent_revoked' })
    expect(body.mayHaveApplied, 'it was never written').toBeUndefined()
    expect(await record()).toMatchObject({ status: 'revoked', openControls: 0 })
  })

  test.each([
    ['one', (taskId: string) => ['/api/v1/agents/a1/controls', { ...pause, taskId }] as const],
    [
      'a batch',
      (taskId: string) => ['/api/v1/controls', { items: [{ agentId: 'a1', ...pause, taskId }] }] as const,
    ],
  ])('when %s is made at that very moment > it does not stay open', async (_, request) => {
    let revoked: Promise<Reply> | undefined
    await using racing = await startHub({
      // The control was let in; before it is stored, the revocation takes place from beginning to end.
      wrapStore: (store) =>
        interruptedStore(store, 'update', () => (revoked = racing.operator('DELETE', '/api/v1/agents/a1'))),
    })
    await racing.enroll('a1')
    const [path, body] = request('t1')
    await racing.operator('POST', path, body)
    expect((await revoked)?.status, 'the revocation must come between').toBe(204)
    const { body: shown } = await racing.operator('GET', '/api/v1/agents/a1/controls')
    expect(shown.items).toMatchObject([{ outcome: { state: 'failed', code: 'agent_revoked' } }])
  })

  test('when the hub ends between its tombstone and the settling > the next hub settles what is open', async () => {
    let isDead = false
    const end = Promise.withResolvers<never>()
    await using dying = await startHub({
      wrapStore(store) {
        const update = store.update.bind(store)
        store.update = (bucket, key, change) =>
          isDead && bucket === 'mailboxes' ? end.promise : update(bucket, key, change)
        return store
      },
    })
    await dying.enroll('a1')
    await dying.enroll('b1')
    const [, other] = await Promise.all(
      ['a1', 'b1'].map((id) => dying.operator('POST', `/api/v1/agents/${id}/controls`, pause)),
    )
    isDead = true
    const revoked = dying.operator('DELETE', '/api/v1/agents/a1')
    await expect
      .poll(async () => (await dying.operator('GET', '/api/v1/agents/a1')).body.status)
      .toBe('revoked')
    end.reject(new StoreError('store_closed', 'The hub has ended.'))
    isDead = false
    expect((await revoked).status).toBe(503)
    await using next = await createHub({ store: dying.store })
    const url = await next.listen({ port: 0 })
    const shown = async (id: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${dying.token}` }
      return (await fetch(new URL(`/api/v1/agents/${id}/controls`, url), { headers })).json()
    }
    await expect
      .poll(() => shown('a1'), { message: 'nobody will ever take it: settle it' })
      .toMatchObject({
        items: [{ outcome: { state: 'failed', code: 'agent_revoked' }, mayHaveApplied: true }],
      })
    expect(await shown('b1')).toMatchObject({
      items: [{ controlId: other?.body.controlId, outcome: { state: 'pending' } }],
    })
  })

  test('when the agent is enrolled again and tells what became of one > that is kept beside', async () => {
    await agent.sync(ours(1))
    const { body: made } = await hub.operator('POST', '/api/v1/agents/a1/controls', pause)
    await agent.sync(ours(2))
    await hub.operator('DELETE', '/api/v1/agents/a1')
    const { body } = await hub.exchange({ authKey: await hub.enrollmentKey(), agentId: 'a1' })
    const { controlId, epoch, revision } = made
    const outcomes = [{ controlId, epoch, revision, state: 'applied' }]
    await hub.agent('a1', body.apiKey as string).sync(ours(3, { outcomes }))
    const late = await hub.operator('GET', `/api/v1/controls/${controlId}`)
    expect(late.body).toMatchObject({ outcome: { state: 'failed' }, lateOutcome: { state: 'applied' } })
  })
})

test('given an enrollment key of many uses > aimed at an agent that is there, it is refused each way, tells nothing of it, and burns no use', async () => {
  const authKey = await hub.enrollmentKey({ uses: 3, labels: { zone: 'z-9' } })
  const victim = { authKey, agentId: 'a2', exchangeId: 'exchange-of-a2' }
  const { body } = await hub.exchange({ ...victim, hostname: 'host-of-a2', platform: 'plan9' })
  const second = hub.agent('a2', body.apiKey as string)
  await using stream = await second.openStream(boot('boot-1', 1))
  await stream.until(/connected/)
  const { exchangeId: _, ...unnamed } = victim
  const attacks = [unnamed, { ...victim, exchangeId: 'another' }, { ...unnamed, agentId: 'a1' }]
  for (const attack of [...attacks, ...attacks]) {
    const { status, body: said } = await hub.exchange(attack)
    expect([status, said.error]).toEqual([409, 'agent_exists'])
    const text = JSON.stringify(said)
    for (const secret of [
      'host-of-a2',
      'plan9',
      'z-9',
      'exchange-of-a2',
      authKey,
      second.apiKey,
      agent.apiKey,
    ])
      expect(text, 'a refusal must tell nothing of the agent').not.toContain(secret)
  }
  const together = await Promise.all(['a3', 'a3'].map((agentId) => hub.exchange({ authKey, agentId })))
  expect(new Set(together.map(({ status }) => status)), 'only one may have the id').toEqual(
    new Set([200, 409]),
  )
  for (const own of [agent, second]) expect((await own.sync()).status, 'its own key is good').toBe(200)
  await hub.operator('POST', '/api/v1/agents/a2/controls', pause)
  await stream.until(/"action":"pause"/)
  const { body: keys } = await hub.operator('GET', '/api/v1/enrollment-keys')
  const used = (keys.items as { usesMax: number; usesCount: number }[]).find(({ usesMax }) => usesMax === 3)
  expect(used?.usesCount, 'those of a2 and of a3').toBe(2)
  const { body: trail } = await hub.operator('GET', '/api/v1/audit?agentId=a2')
  const kinds = (trail.items as { kind: string }[]).map(({ kind }) => kind)
  expect(kinds).toEqual(['agent.enrolled', 'control.created'])
})

describe('given two copies of one identity', () => {
  test('when both go on > the newer keeps delivery, the older is refused, and nobody changes places', async () => {
    await agent.sync(ours(1))
    await agent.sync({ ...ours(1), bootNonce: 'boot-2' })
    for (let round = 2; round < 8; round += 1) {
      clock.advance(60_000)
      expect((await agent.sync(ours(round))).body.error).toBe('agent_hash_taken')
      expect((await agent.openStream(boot('boot-1', round))).status).toBe(409)
      expect((await agent.sync({ ...ours(round), bootNonce: 'boot-2' })).status).toBe(200)
      expect((await record()).status).toBe('cloned')
    }
  })

  test('when the newer is gone for good > the older takes its place by itself', async () => {
    await agent.sync(ours(1))
    await agent.sync({ ...ours(1), bootNonce: 'boot-2' })
    clock.advance(limits.BOOT_GONE_MS)
    expect((await agent.sync(ours(2))).body.error).toBe('agent_hash_taken')
    clock.advance(1)
    expect((await agent.sync(ours(3))).status).toBe(200)
    expect((await agent.sync({ ...ours(2), bootNonce: 'boot-2' })).body.error).toBe('agent_hash_taken')
    await using stream = await agent.openStream(boot('boot-1', 4))
    await stream.until(/connected/)
  })
})
