/** What every store of the hub must do; each implementation runs the same suites. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Change, HistoryEntry, HistoryPageRequest, HistoryScope, Store } from '@downlink/hub'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

/** A store that was opened for one test, and the end of it and of all that it kept. */
export interface OpenedStore {
  readonly store: Store
  close(): Promise<void>
}

/** A store that keeps what it has stored when it is opened again. */
export interface ReopenableStore extends OpenedStore {
  /** Disposes of the present store and opens another one on the same data. */
  reopen(): Promise<Store>
}

interface Counter {
  readonly count: number
}

const BUCKET = 'mailboxes'

/** Counts one up; the results of updates in order are therefore 1, 2, 3 … */
function increment(document: Counter | undefined): Change<Counter, number> {
  const count = (document?.count ?? 0) + 1
  return { document: { count }, result: count }
}

/** Counts one up and says so in the history. */
function incrementWithHistory(agentId: string): (document: Counter | undefined) => Change<Counter, number> {
  return (document) => {
    const change = increment(document)
    return { ...change, history: [entry(agentId, change.result)] }
  }
}

function look(document: Counter | undefined): Change<Counter, number> {
  return { result: document?.count ?? 0 }
}

function entry(agentId: string, count: number): HistoryEntry {
  return { agentId, atMs: 1_700_000_000_000 + count, kind: 'counted', data: { count } }
}

/** The suite for every store. */
export function describeStoreContract(name: string, open: () => Promise<OpenedStore>): void {
  describe(`given ${name}`, () => {
    let opened: OpenedStore
    let store: Store

    beforeEach(async () => {
      opened = await open()
      store = opened.store
    })
    afterEach(() => opened.close())

    describeDocuments(() => store)
    describeOrder(() => store)
    describeListings(() => store)

    it('> it has a positive epoch, and a service time that never goes back', async () => {
      expect(store.epoch).toBeGreaterThanOrEqual(1)
      const before = store.serviceMs()
      await store.update(BUCKET, 'a', increment)
      expect(before).toBeGreaterThanOrEqual(0)
      expect(store.serviceMs()).toBeGreaterThanOrEqual(before)
    })

    it('> it is healthy before, under and after a commit, and fails as closed once disposed of', async () => {
      const states = [store.health().state]
      const update = store.update(BUCKET, 'a', increment)
      states.push(store.health().state)
      await update
      expect([...states, store.health().state]).toEqual(['ok', 'ok', 'ok'])
      const disposed = store[Symbol.asyncDispose]()
      expect(store.health()).toMatchObject({ state: 'failing', error: { code: 'store_closed' } })
      await disposed
    })

    it('> once disposed of, it refuses everything as store_closed, and what was accepted is answered', async () => {
      const accepted = [store.update(BUCKET, 'a', increment), store.update(BUCKET, 'b', increment)]
      const disposed = store[Symbol.asyncDispose]()
      const closed = { code: 'store_closed' }
      await expect(store.update(BUCKET, 'a', increment)).rejects.toMatchObject(closed)
      await expect(store.update(BUCKET, 'a', look)).rejects.toMatchObject(closed)
      await expect(store.read(BUCKET, 'a')).rejects.toMatchObject(closed)
      await expect(store.list(BUCKET, { limit: 1 })).rejects.toMatchObject(closed)
      await expect(store.readHistory({ agentId: 'a' }, { limit: 1 })).rejects.toMatchObject(closed)
      expect(await Promise.all(accepted)).toEqual([1, 1])
      await disposed
      await store[Symbol.asyncDispose]()
    })
  })
}

/** The suite for stores that outlive their process. */
export function describeReopenContract(name: string, open: () => Promise<ReopenableStore>): void {
  describe(`given ${name} that is opened again`, () => {
    let opened: ReopenableStore

    beforeEach(async () => {
      opened = await open()
    })
    afterEach(() => opened.close())

    it('> documents and history are there, and the history goes on', async () => {
      await opened.store.update(BUCKET, 'a', incrementWithHistory('a'))
      await opened.store.update('agents', 'a', () => ({
        document: { name: 'Zoë \u{1f600}' },
        result: undefined,
      }))
      const again = await opened.reopen()
      expect(await again.read(BUCKET, 'a')).toEqual({ count: 1 })
      expect(await again.read('agents', 'a')).toEqual({ name: 'Zoë \u{1f600}' })
      expect(await again.update(BUCKET, 'a', incrementWithHistory('a'))).toBe(2)
      const history = await again.readHistory({ agentId: 'a' }, { limit: 10 })
      expect(history).toMatchObject([entry('a', 1), entry('a', 2)])
      expect(history[1]?.sequence).toBeGreaterThan(history[0]?.sequence ?? Infinity)
    })

    it('> what was accepted before it was disposed of is there', async () => {
      const accepted = Array.from({ length: 100 }, (_, n) =>
        opened.store.update(BUCKET, `k${n % 7}`, increment),
      )
      const [again] = await Promise.all([opened.reopen(), ...accepted])
      const documents = await again.list<Counter>(BUCKET, { limit: 10 })
      expect(documents.reduce((sum, { document }) => sum + document.count, 0)).toBe(100)
    })

    it('> the epoch is higher each time, and the service time at least what a document says of it', async () => {
      const epochs = [opened.store.epoch]
      let store = opened.store
      for (let round = 0; round < 3; round++) {
        const stamped = await store.update('agents', 'a', () => {
          const serviceMs = store.serviceMs()
          return { document: { serviceMs }, result: serviceMs }
        })
        store = await opened.reopen()
        epochs.push(store.epoch)
        expect(store.serviceMs()).toBeGreaterThanOrEqual(stamped)
      }
      expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b))
    })
  })
}

function describeDocuments(current: () => Store): void {
  it('> a document that was never stored is undefined', async () => {
    expect(await current().read(BUCKET, 'a')).toBeUndefined()
    expect(await current().update(BUCKET, 'a', (document) => ({ result: document }))).toBeUndefined()
  })

  it('> an update is read back, and buckets and keys are apart', async () => {
    const store = current()
    expect(await store.update(BUCKET, 'a', increment)).toBe(1)
    expect(await store.update(BUCKET, 'a', increment)).toBe(2)
    expect(await store.update('agents', 'a', increment)).toBe(1)
    expect(await store.read(BUCKET, 'a')).toEqual({ count: 2 })
    expect(await store.read(BUCKET, 'b')).toBeUndefined()
    expect(await store.read('operator-tokens', 'a')).toBeUndefined()
  })

  it('> an error of the change function reaches the caller, and nothing is stored', async () => {
    const store = current()
    await store.update(BUCKET, 'a', increment)
    const error = new Error('refused')
    const refuse = (): never => {
      throw error
    }
    await expect(store.update(BUCKET, 'a', refuse)).rejects.toBe(error)
    expect(await store.read(BUCKET, 'a')).toEqual({ count: 1 })
    expect(await store.update(BUCKET, 'a', increment)).toBe(2)
  })

  it('> a document or history entry that is not JSON is refused, and nothing is stored', async () => {
    const store = current()
    const cyclic: Record<string, unknown> = {}
    cyclic['itself'] = cyclic
    await expect(store.update(BUCKET, 'a', () => ({ document: cyclic, result: 0 }))).rejects.toThrow(
      TypeError,
    )
    const history = [{ ...entry('a', 1), data: cyclic as never }]
    await expect(store.update(BUCKET, 'a', () => ({ document: {}, history, result: 0 }))).rejects.toThrow(
      TypeError,
    )
    expect(await store.read(BUCKET, 'a')).toBeUndefined()
  })

  it('> a history without a document is refused as misuse', async () => {
    const history = [entry('a', 1)]
    await expect(current().update(BUCKET, 'a', () => ({ history, result: 0 }))).rejects.toThrow(TypeError)
    expect(await current().readHistory({ agentId: 'a' }, { limit: 1 })).toEqual([])
  })
}

function describeOrder(current: () => Store): void {
  it('> a change that stores nothing is answered from the committed document while a commit is under way', async () => {
    const store = current()
    await store.update(BUCKET, 'a', increment)
    const order: string[] = []
    const writing = store.update(BUCKET, 'a', increment).then((count) => order.push(`stored ${count}`))
    const looking = store.update(BUCKET, 'a', look).then((count) => order.push(`saw ${count}`))
    const reading = store.read<Counter>(BUCKET, 'a').then((counter) => order.push(`read ${counter?.count}`))
    await Promise.all([writing, looking, reading])
    expect(order).toEqual(['saw 1', 'read 1', 'stored 2'])
  })

  it('> a result that rests on a document on its way to the disk waits for it', async () => {
    const store = current()
    await store.update(BUCKET, 'a', increment)
    const order: string[] = []
    const once = (document: Counter | undefined): Change<Counter, string> =>
      document?.count === 1 ? { document: { count: 2 }, result: 'stored' } : { result: 'found' }
    const failing = (document: Counter | undefined): Change<Counter, string> => {
      if (document?.count === 2) throw new Error('refused')
      return { document: { count: 3 }, result: 'never' }
    }
    await Promise.all([
      store.update(BUCKET, 'a', once).then((result) => order.push(result)),
      store.update(BUCKET, 'a', once).then((result) => order.push(result)),
      store.update(BUCKET, 'a', failing).catch((error: unknown) => order.push(String(error))),
    ])
    expect(order).toEqual(['stored', 'found', 'Error: refused'])
    expect(await store.read(BUCKET, 'a')).toEqual({ count: 2 })
  })

  it('> updates of one document without waiting give the results of one after the other', async () => {
    const store = current()
    const results = await Promise.all(Array.from({ length: 50 }, () => store.update(BUCKET, 'a', increment)))
    expect(results).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  it('> 1,000 concurrent updates of 10 documents are all counted, in few commits', async () => {
    const store = current()
    const sizes: number[] = []
    const onCommit = (message: unknown): void => void sizes.push((message as { entries: number }).entries)
    subscribe('downlink:hub:commit', onCommit)
    try {
      await Promise.all(
        Array.from({ length: 1_000 }, (_, n) =>
          store.update(BUCKET, `k${n % 10}`, incrementWithHistory('a')),
        ),
      )
    } finally {
      unsubscribe('downlink:hub:commit', onCommit)
    }
    const documents = await store.list<Counter>(BUCKET, { limit: 100 })
    expect(documents).toHaveLength(10)
    for (const { document } of documents) expect(document).toEqual({ count: 100 })
    expect(await store.readHistory({ agentId: 'a' }, { limit: 2_000 })).toHaveLength(1_000)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1_000)
    expect(sizes.length, 'updates that arrive together must share commits').toBeLessThan(100)
  })
}

function describeListings(current: () => Store): void {
  it('> documents are listed in the order of their keys, page by page', async () => {
    const store = current()
    const keys = ['b', 'a', 'B', 'a.b', 'a-b', '10', '9', 'aa']
    for (const key of keys) await store.update(BUCKET, key, () => ({ document: { key }, result: undefined }))
    await store.update('agents', 'c', increment)
    const listed: string[] = []
    for (let after: string | undefined; ;) {
      const page = await store.list<{ key: string }>(BUCKET, {
        limit: 3,
        ...(after === undefined ? {} : { after }),
      })
      for (const { key, document } of page) {
        expect(document).toEqual({ key })
        listed.push(key)
      }
      if (page.length < 3) break
      after = page.at(-1)?.key
    }
    expect(listed).toEqual(keys.toSorted())
    expect(await store.list(BUCKET, { after: 'b', limit: 3 })).toEqual([])
  })

  it('> history is kept in the order of the updates, for each agent, page by page', async () => {
    const store = current()
    const updates = Array.from({ length: 10 }, (_, n) => {
      const agentId = n % 2 === 0 ? 'even' : 'odd'
      return store.update(BUCKET, agentId, incrementWithHistory(agentId))
    })
    await Promise.all(updates)
    const first = await store.readHistory({ agentId: 'even' }, { limit: 3 })
    expect(first).toMatchObject([entry('even', 1), entry('even', 2), entry('even', 3)])
    const rest = await store.readHistory(
      { agentId: 'even' },
      { after: first.at(-1)?.sequence ?? Infinity, limit: 3 },
    )
    expect(rest).toMatchObject([entry('even', 4), entry('even', 5)])
    expect(await store.readHistory({ agentId: 'odd' }, { limit: 10 })).toHaveLength(5)
    expect(await store.readHistory({ agentId: 'nobody' }, { limit: 10 })).toEqual([])
  })

  it('> a history entry comes back as it was given, with its sequence', async () => {
    const store = current()
    const full: HistoryEntry = {
      ...entry('a', 1),
      controlId: 'a~1',
      taskId: 't1',
      data: [null, 'ü', { x: 1.5 }],
    }
    const plain = entry('a', 2)
    await store.update(BUCKET, 'a', () => ({ document: {}, history: [full, plain], result: undefined }))
    const [first, second] = await store.readHistory({ agentId: 'a' }, { limit: 10 })
    expect(first).toStrictEqual({ ...full, sequence: first?.sequence })
    expect(second).toStrictEqual({ ...plain, sequence: (first?.sequence ?? NaN) + 1 })
  })

  it('> history is read of everybody, of one agent and of one control, and from a time on', async () => {
    const store = current()
    const facts: HistoryEntry[] = [
      { ...entry('a', 1), controlId: 'a~1', atMs: 10 },
      { ...entry('b', 2), controlId: 'b~1', atMs: 20 },
      { ...entry('a', 3), controlId: 'a~2', atMs: 30 },
      { ...entry('a', 4), controlId: 'a~1', atMs: 40 },
      { ...entry('a', 5), atMs: 50 },
    ]
    for (const fact of facts) {
      await store.update(BUCKET, fact.agentId ?? '', () => ({
        document: {},
        history: [fact],
        result: undefined,
      }))
    }
    const times = async (scope: HistoryScope, page: Partial<HistoryPageRequest> = {}): Promise<number[]> =>
      (await store.readHistory(scope, { limit: 10, ...page })).map(({ atMs }) => atMs)
    expect(await times({})).toEqual([10, 20, 30, 40, 50])
    expect(await times({ agentId: 'a' })).toEqual([10, 30, 40, 50])
    expect(await times({ agentId: 'a', controlId: 'a~1' })).toEqual([10, 40])
    expect(await times({}, { sinceMs: 30, limit: 2 })).toEqual([30, 40])
    const [first] = await store.readHistory({}, { limit: 1 })
    expect(await times({}, { after: first?.sequence ?? Infinity, limit: 2 })).toEqual([20, 30])
    await expect(store.readHistory({ controlId: 'a~1' }, { limit: 1 })).rejects.toThrow(TypeError)
  })

  it('> whoever watches history is told after each commit that added to it, until it stops watching', async () => {
    const store = current()
    const seen: number[] = []
    const watching = store.watchHistory(() => seen.push(seen.length))
    await store.update(BUCKET, 'a', increment)
    expect(seen).toHaveLength(0)
    await store.update(BUCKET, 'a', incrementWithHistory('a'))
    await expect.poll(() => seen.length).toBe(1)
    watching[Symbol.dispose]()
    await store.update(BUCKET, 'a', incrementWithHistory('a'))
    expect(seen).toHaveLength(1)
  })

  it('> old history is dropped from its beginning, a bounded number at a time, and sequences go on', async () => {
    const store = current()
    expect(await store.lastHistorySequence()).toBe(0)
    for (const atMs of [10, 20, 30]) {
      const history = [{ ...entry('a', 1), atMs }]
      await store.update(BUCKET, 'a', () => ({ document: {}, history, result: undefined }))
    }
    const last = await store.lastHistorySequence()
    expect(last).toBe((await store.readHistory({}, { limit: 10 })).at(-1)?.sequence)
    expect(await store.pruneHistory(25, 1)).toBe(1)
    expect(await store.pruneHistory(25, 10)).toBe(1)
    expect(await store.pruneHistory(100, 10)).toBe(1)
    expect(await store.readHistory({}, { limit: 10 })).toEqual([])
    expect(await store.lastHistorySequence()).toBe(last)
    const history = [entry('a', 1)]
    await store.update(BUCKET, 'a', () => ({ document: {}, history, result: undefined }))
    expect((await store.readHistory({}, { limit: 10 }))[0]?.sequence).toBeGreaterThan(last)
  })
}
