import { limits } from '@downlink/protocol'
import { expect, it } from 'vitest'
import type { CommitBackend, CommitBatch, CommitReply, StoredDocument } from './commit-batch.ts'
import { StagedDocuments } from './staged-documents.ts'
import { StoreError } from './store.ts'
import type { Change } from './store.ts'

interface Commit {
  readonly batch: CommitBatch
  /** Stores all but the conflicting writes, as a backend would. */
  succeed(conflicts?: readonly number[]): void
  fail(error: unknown): void
}

/** A backend whose commits wait for the test. */
class HandBackend implements CommitBackend {
  readonly stored = new Map<string, StoredDocument>()
  readonly commits: Commit[] = []
  loads = 0
  loadError: Error | undefined
  readonly #arrivals: (() => void)[] = []

  async load(bucket: string, key: string): Promise<StoredDocument | undefined> {
    this.loads++
    if (this.loadError !== undefined) throw this.loadError
    return this.stored.get(`${bucket}/${key}`)
  }

  commit(batch: CommitBatch, onSent: () => void): Promise<CommitReply> {
    const { promise, resolve, reject } = Promise.withResolvers<CommitReply>()
    onSent()
    this.commits.push({
      batch,
      succeed: (conflicts = []) => {
        for (const [index, { bucket, key, expectedVersion, json }] of batch.writes.entries()) {
          if (!conflicts.includes(index))
            this.stored.set(`${bucket}/${key}`, { version: expectedVersion + 1, json })
        }
        resolve({ conflicts })
      },
      fail: reject,
    })
    for (const arrival of this.#arrivals.splice(0)) arrival()
    return promise
  }

  /** The commit of that number, as soon as it has been sent. */
  async sent(index: number): Promise<Commit> {
    for (;;) {
      const commit = this.commits[index]
      if (commit !== undefined) return commit
      await new Promise<void>((resolve) => this.#arrivals.push(resolve))
    }
  }
}

interface Counter {
  readonly count: number
}

const increment = (document: Counter | undefined): Change<Counter, number> => {
  const count = (document?.count ?? 0) + 1
  return { document: { count }, result: count }
}
const look = (document: Counter | undefined): Change<Counter, number> => ({ result: document?.count ?? 0 })
const unavailable = { code: 'store_unavailable' }

function start(): { backend: HandBackend; documents: StagedDocuments; add(key: string): Promise<number> } {
  const backend = new HandBackend()
  const documents = new StagedDocuments(backend)
  return { backend, documents, add: (key) => documents.update('mailboxes', key, increment) }
}

it('given updates while a commit is under way > they gather into the next one, one write for each document', async () => {
  const { backend, add } = start()
  const first = add('a')
  const commit = await backend.sent(0)
  const later = [add('a'), add('b'), add('a')]
  commit.succeed()
  expect(await first).toBe(1)
  const { batch, succeed } = await backend.sent(1)
  expect(batch.writes).toEqual([
    { bucket: 'mailboxes', key: 'a', expectedVersion: 1, json: '{"count":3}' },
    { bucket: 'mailboxes', key: 'b', expectedVersion: 0, json: '{"count":1}' },
  ])
  succeed()
  expect(await Promise.all(later)).toEqual([2, 1, 3])
})

it('given a batch that fails > exactly what rests on it is rejected, and the rest goes on from what is stored', async () => {
  const { backend, documents, add } = start()
  const doomed = [add('a'), add('b')]
  const commit = await backend.sent(0)
  const onTop = add('a')
  const stopAtOne = (document: Counter | undefined): Change<Counter, string> =>
    document === undefined ? { document: { count: 1 }, result: 'stored' } : { result: 'found' }
  const found = documents.update('mailboxes', 'b', stopAtOne)
  const apart = add('c')
  // Key c is read from the backend first; it must be staged before the batch fails.
  await documents.read('mailboxes', 'c')
  const error = new StoreError('store_unavailable', 'disk full')
  commit.fail(error)
  for (const update of [...doomed, onTop, found]) await expect(update).rejects.toBe(error)
  const loads = backend.loads
  const again = add('a')
  const { batch, succeed } = await backend.sent(1)
  expect(batch.writes.map(({ key }) => key)).toContain('c')
  succeed()
  expect(await apart).toBe(1)
  if (!batch.writes.some(({ key }) => key === 'a')) (await backend.sent(2)).succeed()
  expect(await again).toBe(1)
  expect(backend.loads, 'a document of a failed batch must be read anew').toBe(loads + 1)
})

it('given a batch of unknown outcome > what rests on it was certainly not stored', async () => {
  const { backend, add } = start()
  const sent = add('a')
  const commit = await backend.sent(0)
  const onTop = add('a')
  commit.fail(new StoreError('outcome_unknown', 'thread ended'))
  await expect(sent).rejects.toMatchObject({ code: 'outcome_unknown' })
  await expect(onTop).rejects.toMatchObject(unavailable)
})

it('given a backend that fails in a way of its own > the outcome is unknown', async () => {
  const { backend, add } = start()
  const sent = add('a')
  const commit = await backend.sent(0)
  commit.fail(new TypeError('unexpected'))
  await expect(sent).rejects.toMatchObject({ code: 'outcome_unknown' })
})

it('given a document that somebody else changed > its updates are tried again on what is stored, others are not', async () => {
  const { backend, documents, add } = start()
  const calls: (Counter | undefined)[] = []
  const counting = documents.update('mailboxes', 'a', (document: Counter | undefined) => {
    calls.push(document)
    return increment(document)
  })
  const other = add('b')
  const commit = await backend.sent(0)
  const onTop = add('a')
  const apart = add('b')
  backend.stored.set('mailboxes/a', { version: 7, json: '{"count":70}' })
  commit.succeed([0])
  expect(await other).toBe(1)
  const next = await backend.sent(1)
  next.succeed()
  const last = backend.sent(2).then((sent) => sent.succeed())
  expect(await Promise.all([counting, onTop, apart])).toEqual([71, 72, 2])
  expect(calls).toEqual([undefined, { count: 70 }])
  expect(backend.stored.get('mailboxes/a')?.json).toBe('{"count":72}')
  if (backend.commits.length > 2) await last
})

it('given a document that somebody else changes every time > the update is given up after its bound', async () => {
  const { backend, add } = start()
  const update = add('a')
  for (let attempt = 0; attempt <= limits.STORE_CONFLICT_RETRIES_MAX; attempt++)
    (await backend.sent(attempt)).succeed([0])
  await expect(update).rejects.toMatchObject(unavailable)
  expect(backend.commits).toHaveLength(limits.STORE_CONFLICT_RETRIES_MAX + 1)
})

it('given a document that cannot be read > everyone who waits for it is told, and the next one reads again', async () => {
  const { backend, documents, add } = start()
  backend.loadError = new StoreError('store_unavailable', 'cannot read')
  const waiting = [add('a'), documents.read('mailboxes', 'a')]
  for (const each of waiting) await expect(each).rejects.toBe(backend.loadError)
  backend.loadError = undefined
  expect(await documents.read('mailboxes', 'a')).toBeUndefined()
})

it('given more updates than may wait > the next is refused with the bound, and there is room again later', async () => {
  const { backend, documents, add } = start()
  const waiting = Array.from({ length: limits.STORE_WAITING_UPDATES_MAX }, () => add('a'))
  await expect(add('a')).rejects.toMatchObject({ ...unavailable, message: expect.stringContaining('16384') })
  for (let index = 0; index < limits.STORE_WAITING_UPDATES_MAX / limits.STORE_BATCH_ENTRIES_MAX; index++) {
    ;(await backend.sent(index)).succeed()
  }
  await Promise.all(waiting)
  expect(await documents.update('mailboxes', 'a', look)).toBe(limits.STORE_WAITING_UPDATES_MAX)
})

it('given large documents > a batch and all that waits stay within their bytes', async () => {
  const { backend, documents } = start()
  const text = 'x'.repeat(limits.STORE_BATCH_BYTES_MAX / 2)
  const add = (n: number): Promise<number> =>
    documents.update('mailboxes', `k${n}`, () => ({ document: { text }, result: n }))
  const count = limits.STORE_WAITING_BYTES_MAX / (limits.STORE_BATCH_BYTES_MAX / 2)
  const waiting = Array.from({ length: count }, (_, n) => add(n))
  const first = await backend.sent(0)
  await expect(add(count)).rejects.toMatchObject(unavailable)
  expect(first.batch.writes).toHaveLength(1)
  first.succeed()
  for (let index = 1; index < count; index++) (await backend.sent(index)).succeed()
  expect(await Promise.all(waiting)).toHaveLength(count)
})

it('given a close while a commit is under way > it resolves after everything accepted has been answered', async () => {
  const { backend, documents, add } = start()
  const order: string[] = []
  const update = add('a').then(() => order.push('answered'))
  const closed = documents.close().then(() => order.push('closed'))
  ;(await backend.sent(0)).succeed()
  await Promise.all([update, closed])
  expect(order).toEqual(['answered', 'closed'])
})
