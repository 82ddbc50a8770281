/** What controls cost the store, in counts that do not depend on how fast the machine is, and that these counts would tell a waste. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { limits, systemClock, type Json } from '@downlink/protocol'
import { describe, expect, test, vi } from 'vitest'
import { storeWith } from '../../testkit/src/store-with.ts'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import type { ControlTrace } from './control-trace.ts'
import { createAgents } from './enrollment/agents.ts'
import { createHub, createOperatorToken, openSqliteStore, type Hub, type Store } from './index.ts'

/** What may be put back: a commit for each change, or one cache for agents that are steered and agents that connect. */
type Waste = 'none' | 'a commit each' | 'one cache'

const AGENTS = 64
const TOGETHER = 32
/** Two full commits. */
const ITEMS = 2 * limits.STORE_BATCH_ENTRIES_MAX

/** A hub whose messages to its database thread are counted, and may be held back. */
interface CountedHub extends AsyncDisposable {
  readonly store: Store
  /** Messages of each kind since the last call, but for retention's; of those that read, the documents. */
  counts(): Readonly<Record<string, number>>
  /** Holds commits back until what it returns is disposed of. */
  holdCommits(): Disposable
  post(path: string, body: Json): Promise<number>
}

async function startCounted(waste: Waste): Promise<CountedHub> {
  const ends = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'downlink-costs-'))
  ends.defer(() => rm(directory, { recursive: true }))
  let counted: Record<string, number> = {}
  let held: (() => void)[] | undefined
  const onWorker = (worker: Worker): void => {
    const post = worker.postMessage.bind(worker)
    worker.postMessage = (message: { kind: string; documents?: readonly unknown[] }) => {
      // Retention comes by time, whatever is asked for.
      if (message.kind !== 'prune')
        counted[message.kind] = (counted[message.kind] ?? 0) + (message.documents?.length ?? 1)
      if (message.kind === 'commit' && held !== undefined) held.push(() => post(message))
      else post(message)
    }
  }
  process.once('worker', onWorker)
  // On a clock that stands still: what the store does of its own is not counted.
  const clock = createTestClock()
  const inner = ends.use(await openSqliteStore({ file: join(directory, 'hub.db'), clock }))
  const store = wasteful(inner, waste)
  const agents = createAgents(inner, systemClock)
  const agentIds = Array.from({ length: AGENTS }, (_, n) => `a${n}`)
  await Promise.all(
    agentIds.map((agentId) => agents.mint({ agentId, labels: {}, mayReplace: false, isRepeat: false })),
  )
  const { token } = await createOperatorToken(inner, { name: 'ada', scopes: ['control'] })
  const hub: Hub = ends.use(await createHub({ store, heartbeatMs: 1_000 }))
  return {
    store,
    counts() {
      const before = counted
      counted = {}
      return before
    },
    holdCommits() {
      held = []
      return {
        [Symbol.dispose]() {
          const waiting = held ?? []
          held = undefined
          for (const send of waiting) send()
        },
      }
    },
    async post(path, body) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
      const reply = await hub.fetch(`http://hub${path}`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      })
      await reply.arrayBuffer()
      return reply.status
    },
    [Symbol.asyncDispose]: () => ends.disposeAsync(),
  }
}

function wasteful(inner: Store, waste: Waste): Store {
  let last: Promise<unknown> = Promise.resolve()
  return storeWith(inner, {
    read: (bucket, key, use) => inner.read(bucket, key, waste === 'one cache' ? undefined : use),
    update(bucket, key, change) {
      if (waste !== 'a commit each') return inner.update(bucket, key, change)
      const turn = last.then(() => inner.update(bucket, key, change))
      last = turn.catch(() => undefined)
      return turn
    },
  })
}

let lastTask = 0
const control = (): { action: string; taskId: string } => ({ action: 'cancel', taskId: `t${lastTask++}` })
const batchOf = (count: number): Json => ({
  items: Array.from({ length: count }, (_, n) => ({ agentId: `a${n % AGENTS}`, ...control() })),
})

/** What one batch costs once a fleet has connected, whose agents nobody steers. */
async function batchCosts(waste: Waste): Promise<Readonly<Record<string, number>>> {
  await using hub = await startCounted(waste)
  expect(await hub.post('/api/v1/controls', batchOf(AGENTS))).toBe(200)
  const others = Array.from({ length: limits.STORE_CACHE_DOCUMENTS_MAX }, (_, n) => `other-${n}`)
  await Promise.all(others.map((key) => hub.store.read('agents', key)))
  hub.counts()
  expect(await hub.post('/api/v1/controls', batchOf(ITEMS))).toBe(200)
  return hub.counts()
}

/** How many commits controls take that are all there while the first of them is on its way to the disk. */
async function commitsTogether(waste: Waste): Promise<number> {
  await using hub = await startCounted(waste)
  expect(await hub.post('/api/v1/controls', batchOf(AGENTS))).toBe(200)
  hub.counts()
  let accepted = 0
  const onStep = (message: unknown): void => {
    if ((message as ControlTrace).step === 'accepted') accepted++
  }
  subscribe('downlink:hub:control', onStep)
  const hold = hub.holdCommits()
  const posted = Array.from({ length: TOGETHER }, (_, n) =>
    hub.post(`/api/v1/agents/a${n}/controls`, control()),
  )
  await vi.waitUntil(() => accepted === TOGETHER)
  hold[Symbol.dispose]()
  expect(new Set(await Promise.all(posted))).toEqual(new Set([201]))
  unsubscribe('downlink:hub:control', onStep)
  return hub.counts()['commit'] ?? 0
}

describe('given a batch for agents that were steered before', () => {
  test('when others have connected since > it takes two full commits, and reads nothing', async () => {
    expect(await batchCosts('none'), 'see staged-documents.ts, and findTarget').toEqual({
      commit: ITEMS / limits.STORE_BATCH_ENTRIES_MAX,
    })
  })

  test('when there is a commit for each change > the counts tell', async () => {
    expect(await batchCosts('a commit each')).toEqual({ commit: ITEMS })
  })

  test('when those that connect push out those that are steered > the counts tell', async () => {
    expect((await batchCosts('one cache'))['read']).toBeGreaterThan(AGENTS)
  })
})

describe('given controls that come while one is on its way to the disk', () => {
  test('when it is there > all the others share the next commit', async () => {
    expect(await commitsTogether('none'), 'see StagedDocuments').toBeLessThanOrEqual(2)
  })

  test('when there is a commit for each change > the counts tell', async () => {
    expect(await commitsTogether('a commit each')).toBe(TOGETHER)
  })
})
