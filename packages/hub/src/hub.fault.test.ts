/** The agents' side of a hub over real sockets: streams, syncs, originals, trust. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { boot, ours, startHub, type HubFixture } from '../test/hub-fixture.ts'
import type { ControlTrace } from './control-trace.ts'

let fixture: HubFixture

const pause = { action: 'pause', taskId: 't1' }
const running = { taskId: 't1', status: 'running', progress: 0.5, updatedAt: 1 }

describe('given a running hub', () => {
  beforeEach(async () => void (fixture = await startHub()))
  afterEach(() => fixture[Symbol.asyncDispose]())

  test('when a stream is opened > it shows the preamble, then heartbeats, then a pushed command', async () => {
    const agent = await fixture.enroll('a1')
    await using stream = await agent.openStream(boot('boot-1', 1))
    expect(stream.status).toBe(200)
    expect(stream.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    })
    expect(
      stream.headers['content-encoding'],
      'never compress a stream: proxies hold it back',
    ).toBeUndefined()
    await stream.until(/^retry: 2000\n: connected hb=100\n\n: window w=2000\n\n/)
    await stream.until(/: hb n=\d+ t=\d+ w=2000\n\n/)
    const made = await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    expect(made.status).toBe(201)
    const text = await stream.until(/event: command\n.*\n\n/)
    const data = /event: command\ndata: (.*)\n/.exec(text)?.[1] ?? ''
    expect(JSON.parse(data)).toMatchObject({
      controls: [{ ...pause, controlId: made.body.controlId, lane: 'state', revision: 1 }],
    })
  })

  test('when an agent reports the outcome > it is acked, settled, and the waiting operator is answered', async () => {
    const agent = await fixture.enroll('a1')
    const steps: ControlTrace[] = []
    const listener = (message: unknown): void => void steps.push(message as ControlTrace)
    subscribe('downlink:hub:control', listener)
    const waiting = fixture.operator('POST', '/api/v1/agents/a1/controls?wait=30s&until=observed', pause)
    await using stream = await agent.openStream(boot('boot-1', 1))
    const text = await stream.until(/"controlId":"[^"]+"/)
    const controlId = /"controlId":"([^"]+)"/.exec(text)?.[1] ?? ''
    const first = await agent.sync(ours(2))
    expect(first.body).toMatchObject({ controls: [{ controlId }], newTasks: [], watching: true, acked: [] })
    const { epoch, revision } = first.body.controls[0]
    const second = await agent.sync(
      ours(3, {
        tasks: [{ ...running, status: 'paused' }],
        outcomes: [{ controlId, epoch, revision, state: 'applied' }],
      }),
    )
    expect(second.body).toMatchObject({ acked: [controlId], controls: [] })
    const answered = await waiting
    unsubscribe('downlink:hub:control', listener)
    expect(answered.body).toMatchObject({ outcome: { state: 'applied', confirmedBy: 'agent' } })
    expect(Object.keys(answered.body.stamps)).toEqual([
      'created',
      'written',
      'received',
      'applied',
      'observed',
    ])
    const order = steps.filter((step) => step.controlId === controlId).map((step) => step.step)
    expect(order.slice(0, 3), 'nothing may be written or replied before the commit').toEqual([
      'accepted',
      'committed',
      'written',
    ])
  })

  test('when a stream opens > all open controls are pushed, and a waiting task asks for one sync', async () => {
    const agent = await fixture.enroll('a1')
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    await agent.sync(ours(1))
    await fixture.operator('POST', '/api/v1/agents/a1/controls', { action: 'boost', taskId: 't1' })
    await fixture.operator('POST', '/api/v1/agents/a1/tasks', { kind: 'backup', input: { path: '/srv' } })
    await using stream = await agent.openStream(boot('boot-1', 2))
    const text = await stream.until(/event: sync/)
    expect(text).toMatch(/"action":"pause".*"action":"boost"/)
    const reply = await agent.sync(ours(3))
    expect(reply.body.newTasks).toMatchObject([{ kind: 'backup', input: { path: '/srv' } }])
  })

  test('when two streams of one boot arrive out of order > the higher counter keeps the stream', async () => {
    const agent = await fixture.enroll('a1')
    await using newer = await agent.openStream(boot('boot-1', 8))
    await newer.until(/hb n=/)
    await using late = await agent.openStream(boot('boot-1', 7))
    await late.ended
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    await newer.until(/event: command/)
    await using newest = await agent.openStream(boot('boot-1', 9))
    await newer.ended
    await newest.until(/event: command/)
  })

  test('when an older boot syncs again > it is told that its identity is taken', async () => {
    const agent = await fixture.enroll('a1')
    await agent.sync({ journalId: 'j', bootNonce: 'old', connectCounter: 1 })
    await agent.sync({ journalId: 'j', bootNonce: 'new', connectCounter: 1 })
    const clone = await agent.sync({ journalId: 'j', bootNonce: 'old', connectCounter: 2 })
    expect([clone.status, clone.body.error]).toEqual([409, 'agent_hash_taken'])
    const stream = await agent.openStream(boot('old', 3))
    expect(stream.status).toBe(409)
    expect((await fixture.operator('GET', '/api/v1/agents/a1')).body.status).toBe('cloned')
  })

  test('when an agent is revoked > its streams end and its key answers 410', async () => {
    const agent = await fixture.enroll('a1')
    await using stream = await agent.openStream()
    await stream.until(/hb n=/)
    expect((await fixture.operator('DELETE', '/api/v1/agents/a1')).status).toBe(204)
    await stream.ended
    const refused = await agent.sync()
    expect([refused.status, refused.body.error]).toEqual([410, 'agent_revoked'])
    const control = await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    expect([control.status, control.body.error]).toEqual([410, 'agent_revoked'])
  })

  test('when a token is wrong, unknown or another agent’s > it is refused, and never as revoked', async () => {
    const agent = await fixture.enroll('a1')
    await fixture.enroll('a2')
    const forged = agent.apiKey.slice(0, -4) + (agent.apiKey.endsWith('AAAA') ? 'BBBB' : 'AAAA')
    for (const key of ['', 'nonsense', forged, fixture.token]) {
      const reply = await fixture.agent('a1', key).sync()
      expect([reply.status, reply.body.error]).toEqual([401, 'unauthorized'])
      expect(JSON.stringify(reply.body), 'no token may come back').not.toContain('dla.')
    }
    const cross = await agent.sync({ agentId: 'a2' })
    expect([cross.status, cross.body.error]).toEqual([403, 'agent_mismatch'])
  })

  test('when the small calls are made > they succeed as originals expect, and odd requests get codes', async () => {
    const agent = await fixture.enroll('a1')
    const of = async (path: string, body: Record<string, never> | object): Promise<unknown> =>
      (await agent.call('POST', path, body as never)).body
    expect(await of('register', { agentId: 'a1', version: '9.1' })).toEqual({
      success: true,
      user: {},
      features: {},
    })
    expect(await of('status', { updates: [{}, {}] })).toMatchObject({
      results: [{ success: true }, { success: true }],
    })
    expect(await of('task-control', { agentId: 'a1', taskId: 't1', action: 'cancel' })).toEqual({
      success: true,
    })
    expect((await fixture.operator('GET', '/api/v1/agents/a1')).body).toMatchObject({
      version: '9.1',
      status: 'online',
    })
    expect(await of('deregister', { agentId: 'a1' })).toEqual({ success: true })
    expect((await fixture.operator('GET', '/api/v1/agents/a1')).body.status).toBe('offline')
    expect(await of('nowhere', {})).toMatchObject({ error: 'not_found' })
    expect(await of('events', {})).toMatchObject({ error: 'method_not_allowed' })
    expect(await of('sync', [] as never)).toMatchObject({ error: 'bad_json' })
    expect(await of('sync', { pad: 'x'.repeat(1_100_000) })).toMatchObject({ error: 'body_too_large' })
  })

  test('when a sync echoes a heartbeat and tells of the path (R-51, R-17) > operators see round trip, lag and verdict', async () => {
    const agent = await fixture.enroll('a1')
    await using stream = await agent.openStream(boot('boot-1', 1))
    const text = await stream.until(/: hb n=\d+ t=\d+/)
    const [, counter, hubMs] = /: hb n=(\d+) t=(\d+)/.exec(text) ?? []
    const heartbeat = { counter: Number(counter), hubMs: Number(hubMs), agoMs: 0, lagMs: 7 }
    const path = { verdict: 'cut-idle', idleMs: 12_000 }
    const reply = await agent.sync(ours(2, { heartbeat, path }))
    expect(reply.body.hubMs).toBeGreaterThanOrEqual(heartbeat.hubMs)
    const record = async () => (await fixture.operator('GET', '/api/v1/agents/a1')).body as unknown
    expect(await record()).toMatchObject({
      status: 'online',
      roundTripMs: expect.any(Number) as unknown,
      lagMs: 7,
      path: {
        ...path,
        sentence: expect.stringContaining('12 s') as unknown,
        remedy: expect.any(String) as unknown,
      },
    })
    await agent.sync(ours(3, { heartbeat: { ...heartbeat, counter: 999_999 }, path: { verdict: 'later' } }))
    expect(await record(), 'what a sync leaves out is not known any more').not.toHaveProperty('path')
    const unproven = 'an echo of no heartbeat of ours proves nothing'
    for (const name of ['roundTripMs', 'lagMs']) expect(await record(), unproven).not.toHaveProperty(name)
  })

  test('when the hub drains > streams are told when to come back, waits are answered, and nothing listens', async () => {
    const agent = await fixture.enroll('a1')
    await using stream = await agent.openStream(boot('boot-1', 1))
    await stream.until(/hb n=/)
    const waiting = fixture.operator('POST', '/api/v1/agents/a1/controls?wait=30s', pause)
    await stream.until(/event: command/)
    await fixture.hub.drain()
    await stream.ended
    expect(stream.text).toMatch(/event: drain\ndata: \{"reconnectAfterMs":\d+\}\n\n/)
    expect((await waiting).body.outcome).toEqual({ state: 'delivered' })
    await expect(fetch(fixture.url)).rejects.toThrow('fetch failed')
  })

  test('when it drains over a time > controls are taken and pushed meanwhile, new streams are refused', async () => {
    const agent = await fixture.enroll('a1')
    const other = await fixture.enroll('a2')
    await using stream = await agent.openStream(boot('boot-1', 1))
    await stream.until(/hb n=/)
    const stop = new AbortController()
    const draining = fixture.hub.drain({ drainMs: 3_600_000, restartMs: 7_000, signal: stop.signal })
    await stream.until(/event: drain/)
    const refused = await other.call('GET', 'events')
    expect([refused.status, refused.body.error]).toEqual([503, 'draining'])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3_600)
    expect((await other.wake()).status).toBe(503)
    expect((await fixture.operator('GET', '/readyz')).status).toBe(503)
    expect((await agent.sync(ours(2))).status).toBe(200)
    await fixture.operator('POST', '/api/v1/agents/a1/controls', pause)
    await stream.until(/event: command/)
    stop.abort()
    await draining
    await stream.ended
  })
})

describe('given a stream of ours whose heartbeats are not echoed', () => {
  test('when it has been open for long > it is late, and keeps the pace of an agent without a stream, until one is', async () => {
    const clock = createTestClock()
    await using hub = await startHub({ clock, hub: { heartbeatMs: 15_000 } })
    const agent = await hub.enroll('a1')
    await using stream = await agent.openStream(boot('boot-1', 1))
    await stream.until(/connected hb/)
    const paced = async (counter: number, more = {}): Promise<[number, string]> => {
      const { body } = await agent.sync(ours(counter, more))
      const record = await hub.operator('GET', '/api/v1/agents/a1')
      // Who looks makes it watched for a while.
      clock.advance(limits.WATCHED_MS)
      return [body.nextSyncMs as number, record.body.status as string]
    }
    expect(await paced(2), 'it has just opened').toEqual([limits.SYNC_IDLE_MS, 'online'])
    clock.advance(120_000)
    expect(await paced(3)).toEqual([limits.SYNC_ACTIVE_MS, 'late'])
    const text = await stream.until(/hb n=9 /)
    const hubMs = Number(/hb n=9 t=(\d+)/.exec(text)?.[1])
    const echo = { heartbeat: { counter: 9, hubMs, agoMs: 1_000 } }
    expect(await paced(4, echo)).toEqual([limits.SYNC_IDLE_MS, 'online'])
  })
})

describe('given a reader that stands still', () => {
  test('when more is pushed than its queue holds > whole frames collapse into one sync', async () => {
    const clock = createTestClock()
    await using hub = await startHub({ clock })
    const agent = await hub.enroll('a1')
    await agent.sync(ours(1))
    await using stream = await agent.openStream(boot('boot-1', 2))
    clock.advance(100)
    await stream.until(/hb n=/)
    stream.pause()
    const args = { pad: 'x'.repeat(16_000) }
    const count = 400
    for (let n = 0; n < count; n++) {
      const body = { action: 'tune', taskId: 't1', lane: 'latest', args }
      expect((await hub.operator('POST', '/api/v1/agents/a1/controls', body)).status).toBe(201)
    }
    stream.resume()
    const text = await stream.until(/event: sync\ndata: \{"reason":"overflow"\}\n\n/)
    const frames = text.split('\n\n').slice(0, -1)
    const commands = frames.filter((frame) => frame.startsWith('event: command'))
    expect(commands.length, 'push more or larger controls: the kernel took them all').toBeLessThan(count)
    for (const frame of commands) {
      expect(() => JSON.parse(frame.slice('event: command\ndata: '.length)) as unknown).not.toThrow()
    }
    expect((await agent.sync(ours(3))).body.controls, 'the sync must hand out the newest').toHaveLength(1)
  })

  test('when it still does a second later > it is cut, and its next sync has what was acknowledged', async () => {
    const clock = createTestClock()
    await using hub = await startHub({ clock })
    const agent = await hub.enroll('a1')
    await agent.sync(ours(1))
    await using stream = await agent.openStream(boot('boot-1', 2))
    stream.pause()
    const args = { pad: 'x'.repeat(16_000) }
    for (let n = 0; n < 400; n++) {
      const body = { action: 'tune', taskId: 't1', lane: 'latest', args }
      expect((await hub.operator('POST', '/api/v1/agents/a1/controls', body)).status).toBe(201)
    }
    clock.advance(limits.STREAM_OVERFLOW_MS_MAX)
    const { body } = await hub.operator('GET', '/api/v1/agents/a1')
    expect(body.transport, 'push more or larger controls if the kernel took them all').not.toBe('stream')
    stream.resume()
    await stream.ended
    expect((await agent.sync(ours(3))).body.controls).toHaveLength(1)
  })
})

describe('given an original agent', () => {
  test('when it is cancelled > the control settles after two syncs in which the task is missing', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('o1')
    await agent.sync({ tasks: [running] })
    const made = await hub.operator('POST', '/api/v1/agents/o1/controls', { action: 'cancel', taskId: 't1' })
    const state = async (): Promise<string> =>
      (await hub.operator('GET', `/api/v1/controls/${made.body.controlId}`)).body.outcome.state as string
    expect((await agent.sync({ tasks: [running] })).body.controls).toMatchObject([{ action: 'cancel' }])
    expect((await agent.sync()).body.controls).toHaveLength(1)
    expect(await state()).toBe('delivered')
    expect((await agent.sync()).body).toMatchObject({ controls: [], newTasks: [], watching: false })
    const settled = await hub.operator(
      'GET',
      `/api/v1/controls/${made.body.controlId}?wait=1s&until=observed`,
    )
    expect(settled.body.outcome).toEqual({ state: 'applied', confirmedBy: 'observation' })
    expect(settled.body.stamps.observed).toBeDefined()
  })

  test('when it is resumed > the control comes with its task at most once in ten seconds, until it is active', async () => {
    const clock = createTestClock()
    await using hub = await startHub({ clock })
    const agent = await hub.enroll('o1')
    await agent.sync({ tasks: [running] })
    await hub.operator('POST', '/api/v1/agents/o1/controls', { action: 'resume', taskId: 't1' })
    const handedOut = async (tasks: object[] = []): Promise<[number, number]> => {
      const { body } = await agent.sync({ tasks })
      return [body.controls.length, body.newTasks.length]
    }
    expect(await handedOut()).toEqual([1, 1])
    clock.advance(3_000)
    expect(await handedOut()).toEqual([0, 0])
    clock.advance(7_001)
    expect(await handedOut()).toEqual([1, 1])
    clock.advance(3_000)
    await agent.sync({ tasks: [running] })
    const { body } = await hub.operator('GET', '/api/v1/agents/o1/controls')
    expect(body.items[0].outcome).toEqual({ state: 'applied', confirmedBy: 'observation' })
  })

  test('when it has a stream > cancel and pause are pushed, everything else asks for a sync', async () => {
    await using hub = await startHub()
    const agent = await hub.enroll('o1')
    await using stream = await agent.openStream()
    await hub.operator('POST', '/api/v1/agents/o1/controls', { action: 'pause', taskId: 't1' })
    await stream.until(/event: command\ndata: .*"action":"pause"/)
    await hub.operator('POST', '/api/v1/agents/o1/controls', { action: 'resume', taskId: 't1' })
    await stream.until(/event: sync\ndata: \{"reason":"wake"\}/)
    await hub.operator('POST', '/api/v1/agents/o1/controls', { action: 'verify', taskId: 't1' })
    await stream.until(/event: sync[\s\S]*event: sync/)
    expect(stream.text).not.toMatch(/"action":"(resume|verify)"/)
    const { body } = await agent.sync()
    expect(body.controls.map((control: { action: string }) => control.action).sort()).toEqual([
      'resume',
      'verify',
    ])
    const verify = (await hub.operator('GET', '/api/v1/agents/o1/controls')).body.items[0]
    expect(verify, 'nobody will ever confirm it').toMatchObject({
      outcome: { state: 'delivered' },
      unconfirmed: true,
    })
  })
})
