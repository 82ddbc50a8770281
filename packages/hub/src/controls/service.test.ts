import { limits, parseSyncRequest, type ControlRecord, type Json, type SyncRequest } from '@downlink/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { createPusher, type PushHub } from '../delivery/push.ts'
import { createSession, type Pusher } from '../delivery/session.ts'
import { silentLogger } from '../logger.ts'
import { createMemoryStore } from '../store/memory-store.ts'
import type { Store } from '../store/store.ts'
import { createAgentMemories, type AgentMemories } from './agent-memory.ts'
import { createControlWaits, type ControlWaits } from './control-waits.ts'
import { startExpiryLoop } from './expiry-loop.ts'
import { createMailboxChanges, type MailboxChanges } from './mailbox-changes.ts'
import { createControlService, type ControlService } from './service.ts'
import { fitAnswer } from './sync-reply.ts'

let clock: TestClock
let store: Store
let memories: AgentMemories
let changes: MailboxChanges
let service: ControlService
let waits: ControlWaits

const asker = { operator: 'ada' }
const signal = new AbortController().signal

beforeEach(() => {
  clock = createTestClock()
  store = createMemoryStore({ clock })
  memories = createAgentMemories()
  changes = createMailboxChanges()
  service = createControlService({ store, clock, hubBoot: 'hub-1', memories, changes })
  waits = createControlWaits({ clock, changes, memories, read: (id) => service.control(id) })
})

function request(body: Record<string, Json>): SyncRequest {
  const parsed = parseSyncRequest({ agentId: 'a1', journalId: 'j', ...body })
  if (parsed === undefined) throw new Error('The test sends a sync without agentId. Add it.')
  return parsed
}
const sync = (body: Record<string, Json> = {}): ReturnType<ControlService['sync']> =>
  service.sync('a1', request(body), store.serviceMs())
const make = async (action: string, taskId = 't1'): Promise<ControlRecord> =>
  (await service.createControl('a1', { action, taskId }, asker)).record
const applied = ({ controlId, epoch, revision }: ControlRecord): Json => ({
  controlId,
  epoch,
  revision,
  state: 'applied',
})

/** A stream whose texts are kept, told of all changes. */
function attach(takes: () => boolean = () => true): { texts: string[]; pusher: Pusher; drain: () => void } {
  const texts: string[] = []
  const session = createSession({
    agentId: 'a1',
    boot: { bootNonce: 'b', connectCounter: 1 },
    clock,
    connection: {
      write: (bytes) => (texts.push(new TextDecoder().decode(bytes)), takes()),
      end: () => {},
    },
  })
  const hub: PushHub = {
    serviceMs: () => store.serviceMs(),
    decided: (agentId) => memories.peek(agentId)?.decided,
    onSending: (agentId, ids) => service.recordSending(agentId, ids),
    onWritten: (agentId, ids) => service.recordWritten(agentId, ids),
  }
  const pusher = createPusher(hub, session, 'j')
  changes.listen((change) => pusher.deliver(change))
  return { texts, pusher, drain: () => session.drained() }
}

describe('given a stream', () => {
  test('when two verbs of a lane are committed together > the superseded one is not pushed any more', async () => {
    const { texts } = attach()
    const [pause, resume] = await Promise.all([make('pause'), make('resume')])
    expect(texts.join('')).toContain(resume.controlId)
    const told = texts.join('').includes(pause.controlId)
    const older = await service.control(pause.controlId)
    expect(older?.mayHaveApplied === true, 'a control that was pushed may have been applied').toBe(told)
  })

  test('when a pushed control still waits in the queue as it is superseded > it may have been applied', async () => {
    let takes = false
    const stream = attach(() => takes)
    await make('pause', 'blocks-the-stream')
    const pause = await make('pause')
    expect((await service.control(pause.controlId))?.stamps.written).toBeUndefined()
    await make('resume')
    takes = true
    stream.drain()
    expect(stream.texts.join('')).toContain(pause.controlId)
    const record = await service.control(pause.controlId)
    expect(record).toMatchObject({ outcome: { state: 'superseded' }, mayHaveApplied: true })
    expect(record?.stamps.written, 'it is on the wire now').toBeDefined()
  })

  test('when a control goes out with a sync’s reply > it is not pushed besides, but the next of its queue is', async () => {
    const first = await make('tune')
    const second = await make('tune')
    const { texts } = attach()
    const answer = await sync()
    expect(answer).toMatchObject({ controls: [{ controlId: first.controlId }] })
    expect(texts).toEqual([])
    await sync({ outcomes: [applied(first)] })
    expect(await service.control(first.controlId)).toMatchObject({ outcome: { state: 'applied' } })
    expect(texts, 'the reply to that sync carries the next one').toEqual([])
    const third = await make('tune')
    await sync({ outcomes: [applied(second)] })
    expect((await sync()) as object).toMatchObject({ controls: [{ controlId: third.controlId }] })
  })

  test('when a sync is answered from committed state while a supersession is on its way > the old verb stays out', async () => {
    await sync()
    const pause = await make('pause')
    const resuming = make('resume')
    const answer = await sync()
    await resuming
    const handedOut =
      answer !== 'clone' && answer.controls.some(({ controlId }) => controlId === pause.controlId)
    const record = await service.control(pause.controlId)
    expect(record?.mayHaveApplied === true, 'what was handed out may have been applied').toBe(handedOut)
  })

  test('when a change proves pointless on what is on its way > that still is what nothing may contradict', async () => {
    await sync()
    const pause = await make('pause', 't2')
    await service.createControl('a1', { action: 'pause', taskId: 't1', ttlMs: 1_000 }, asker)
    const committed = await service.mailbox('a1')
    clock.advance(1_001)
    const { texts, pusher } = attach()
    // The resume takes the expired pause along, so that there is nothing left to expire.
    const pending = [make('resume', 't2'), service.expire('a1')]
    pusher.deliver({ mailbox: committed })
    const handedOut = texts.join('').includes(pause.controlId)
    await Promise.all(pending)
    const record = await service.control(pause.controlId)
    expect(record?.mayHaveApplied === true, 'what was handed out may have been applied').toBe(handedOut)
  })

  test.each(['cancel', 'pause'])(
    'when an original syncs while a %s is on its way > what its resume would start stays out',
    async (action) => {
      const original = parseSyncRequest({ agentId: 'a1' })
      if (original === undefined) throw new Error('The test sends a sync without agentId. Add it.')
      const syncOriginal = (): ReturnType<ControlService['sync']> =>
        service.sync('a1', original, store.serviceMs())
      await syncOriginal()
      const resume = await make('resume')
      const stopping = make(action)
      const answer = await syncOriginal()
      await stopping
      expect(answer, 'it would start what it is told to stop').toMatchObject({ newTasks: [], controls: [] })
      expect((await service.control(resume.controlId))?.mayHaveApplied).toBeUndefined()
    },
  )

  test('when the stream names another journal > a verb that must not be applied twice waits for the sync', async () => {
    await sync({ journalId: 'other' })
    const { texts } = attach()
    await make('tune')
    expect(texts).toEqual(['event: sync\ndata: {"reason":"wake"}\n\n'])
  })

  test('when an older mailbox arrives after a newer one > it is ignored', async () => {
    await make('pause')
    const old = await service.mailbox('a1')
    const { texts, pusher } = attach()
    await make('cancel')
    const count = texts.length
    pusher.deliver({ mailbox: old })
    expect(texts).toHaveLength(count)
  })

  test('when a task is created > one sync is asked for, and none again for the same task', async () => {
    const { texts } = attach()
    await service.createTask('a1', { kind: 'backup' }, asker)
    await make('pause', 'other')
    expect(texts.filter((text) => text.includes('event: sync'))).toHaveLength(1)
  })
})

describe('given a waiting operator', () => {
  test('when the control is applied, then observed > each wait ends with its own moment', async () => {
    const pause = await make('pause')
    using slot = waits.reserve('a1', 't')
    const seen: string[] = []
    const wait = (until: 'applied' | 'observed'): Promise<unknown> =>
      slot.wait(pause.controlId, until, 50_000, signal).then(() => seen.push(until))
    const both = [wait('applied'), wait('observed')]
    await sync({ tasks: [{ taskId: 't1', status: 'running' }], outcomes: [applied(pause)] })
    await both[0]
    expect(seen).toEqual(['applied'])
    await sync({ tasks: [{ taskId: 't1', status: 'paused' }] })
    await both[1]
    expect(seen).toEqual(['applied', 'observed'])
    expect(clock.pendingTimers, 'a finished wait leaves no timer').toBe(0)
  })

  test('when the task ends otherwise after its cancel was applied > whoever waits to see that learns it at once', async () => {
    await sync({ tasks: [{ taskId: 't1', status: 'running' }] })
    const cancel = await make('cancel')
    using slot = waits.reserve('a1', 'op')
    const waited = slot.wait(cancel.controlId, 'observed', 10_000, signal)
    await sync({ tasks: [{ taskId: 't1', status: 'completed' }], outcomes: [applied(cancel)] })
    const ended = { outcome: { state: 'applied' }, endedOtherwise: true }
    expect(await waited).toMatchObject(ended)
    expect((await waited)?.stamps.observed).toBeUndefined()
    expect(await slot.wait(cancel.controlId, 'observed', 10_000, signal)).toMatchObject(ended)
  })

  test('when its time is over, it goes away or the hub stops > it gets the present state', async () => {
    const pause = await make('pause')
    using slot = waits.reserve('a1', 't')
    const gone = new AbortController()
    const byTime = slot.wait(pause.controlId, 'applied', 1_000, signal)
    const byAbort = slot.wait(pause.controlId, 'applied', 50_000, gone.signal)
    const byStop = slot.wait(pause.controlId, 'applied', 50_000, signal)
    await service.control(pause.controlId)
    clock.advance(1_000)
    gone.abort()
    expect((await byTime)?.outcome).toEqual({ state: 'pending' })
    expect((await byAbort)?.outcome).toEqual({ state: 'pending' })
    waits.releaseAll()
    expect((await byStop)?.outcome).toEqual({ state: 'pending' })
    expect(clock.pendingTimers).toBe(0)
  })

  test('when too many wait > the next is refused before anything is made, until a place is free', () => {
    const slots = Array.from({ length: limits.WAITERS_MAX }, (_, index) =>
      waits.reserve('a1', `t${index % 4}`),
    )
    expect(() => waits.reserve('a2', 'other')).toThrow(/already wait/)
    slots.pop()?.[Symbol.dispose]()
    waits.reserve('a2', 'other')[Symbol.dispose]()
    for (const slot of slots) slot[Symbol.dispose]()
  })
})

describe('given controls with a time to live', () => {
  test('when it runs out > the loop settles them, also after a restart, and waiters learn of it', async () => {
    const { record } = await service.createControl(
      'a1',
      { action: 'pause', taskId: 't1', ttlMs: 5_000 },
      asker,
    )
    await make('cancel', 't2')
    using loop = await startExpiryLoop({
      store,
      clock,
      changes,
      logger: silentLogger,
      expire: (agentId) => service.expire(agentId),
    })
    using slot = waits.reserve('a1', 't')
    const waiting = slot.wait(record.controlId, 'applied', 50_000, signal)
    await service.control(record.controlId)
    clock.advance(5_000)
    expect((await waiting)?.outcome).toEqual({ state: 'expired' })
    loop[Symbol.dispose]()
    expect(clock.pendingTimers, 'a stopped loop leaves no timer').toBe(0)
    expect((await service.mailbox('a1')).open, 'a cancel does not expire').toHaveLength(1)
  })

  test('when the store refuses > it is tried again', async () => {
    await service.createControl('a1', { action: 'pause', taskId: 't1', ttlMs: 5_000 }, asker)
    const second = Promise.withResolvers<void>()
    let tries = 0
    using _loop = await startExpiryLoop({
      store,
      clock,
      changes,
      logger: silentLogger,
      async expire() {
        tries += 1
        if (tries > 1) second.resolve()
        else throw new Error('The disk is full.')
      },
    })
    clock.advance(5_000)
    await expect.poll(() => clock.nextTimerMs).toBe(limits.EXPIRY_RETRY_MS)
    clock.advance(limits.EXPIRY_RETRY_MS)
    await second.promise
  })
})

describe('given a control that has left the mailbox', () => {
  test('when it is asked for > history still has its last record', async () => {
    const first = await make('pause', 'task-0')
    for (let n = 1; n <= limits.SETTLED_CONTROLS_MAX + 1; n++) {
      await make('resume', `task-${n - 1}`)
      await make('pause', `task-${n}`)
    }
    expect((await service.mailbox('a1')).settled.some((entry) => entry.controlId === first.controlId)).toBe(
      false,
    )
    expect(await service.control(first.controlId)).toMatchObject({ outcome: { state: 'superseded' } })
    expect(await service.control('a1~unknown')).toBeUndefined()
  })
})

test('given more than fits in a reply > state verbs go first, the rest comes soon, and an original’s verbs first of all', () => {
  const verb = (controlId: string, action: string, args: Json): never =>
    ({ controlId, epoch: 1, revision: 1, lane: '', action, taskId: 't', args }) as never
  const big = Array.from({ length: 80 }, (_, n) => verb(`v${n}`, 'tune', 'x'.repeat(16_000)))
  const cancel = verb('c', 'cancel', null)
  const answer = { acked: [], newTasks: [], controls: [...big, cancel] }
  const fitted = fitAnswer(answer, true)
  expect([fitted.isCut, fitted.controls[0]]).toEqual([true, cancel])
  expect(JSON.stringify(fitted).length).toBeLessThan(limits.REPLY_BYTES_MAX)
  expect(fitAnswer(answer, false).controls[0]).toBe(big[0])
})
