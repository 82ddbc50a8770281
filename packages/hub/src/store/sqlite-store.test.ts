import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { limits, systemClock } from '@downlink/protocol'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { openSqliteStore } from './sqlite-store.ts'
import type { Change, Store } from './store.ts'

interface Counter {
  readonly count: number
}

const increment = (document: Counter | undefined): Change<Counter, number> => {
  const count = (document?.count ?? 0) + 1
  return { document: { count }, result: count }
}

let directory: string
let file: string
let opened: Store[]
let threads: Worker[]
let warnings: string[]
const onWorker = (worker: Worker): void => void threads.push(worker)

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'downlink-store-'))
  file = join(directory, 'hub.sqlite')
  opened = []
  threads = []
  warnings = []
  process.on('worker', onWorker)
})
afterEach(async () => {
  process.off('worker', onWorker)
  for (const store of opened) await store[Symbol.asyncDispose]()
  await rm(directory, { recursive: true })
})

async function open(clock = systemClock): Promise<Store> {
  const logger = { warn: (_: object, message: string): void => void warnings.push(message) }
  const store = await openSqliteStore({ file, clock, logger })
  opened.push(store)
  return store
}

it('given a store that serves, rests and serves again > service time counts only while it served', async () => {
  const clock = createTestClock()
  const first = await open(clock)
  expect(first.serviceMs()).toBe(0)
  clock.advance(1_000)
  expect(first.serviceMs()).toBe(1_000)
  await first[Symbol.asyncDispose]()
  clock.advance(86_400_000)
  const second = await open(clock)
  expect(second.serviceMs()).toBe(1_000)
  expect(second.epoch).toBeGreaterThanOrEqual(first.epoch + 86_400)
  clock.advance(500)
  expect(second.serviceMs()).toBe(1_500)
})

it('given an idle store that is killed > its service time was recorded by its timer', async () => {
  const clock = createTestClock()
  const store = await open(clock)
  clock.advance(limits.STORE_SERVICE_RECORD_MS)
  // The record is ahead of this in the thread.
  await store.list('agents', { limit: 1 })
  await threads[0]?.terminate()
  await store[Symbol.asyncDispose]()
  expect((await open(clock)).serviceMs()).toBe(limits.STORE_SERVICE_RECORD_MS)
})

it('given a store that rests > its log is copied into the database, without a commit that has to', async () => {
  const clock = createTestClock()
  const store = await open(clock)
  await store.update('agents', 'only-once', increment)
  expect(await readFile(file, 'latin1'), 'commits go to the log').not.toContain('only-once')
  clock.advance(limits.STORE_SERVICE_RECORD_MS)
  // The copying is ahead of this in the thread.
  await store.list('agents', { limit: 1 })
  expect(await readFile(file, 'latin1'), 'see #checkpointIfIdle').toContain('only-once')
})

it('given a wall clock that went back > the epoch rises all the same', async () => {
  const clock = createTestClock()
  const first = await open(clock)
  await first[Symbol.asyncDispose]()
  clock.setWallMs(0)
  expect((await open(clock)).epoch).toBe(first.epoch + 1)
})

it('given a file that cannot be opened > the opening is rejected with the remedy, and works once it can', async () => {
  const missing = join(directory, 'missing')
  const options = { file: join(missing, 'hub.sqlite'), clock: systemClock }
  await expect(openSqliteStore(options)).rejects.toMatchObject({
    name: 'StoreError',
    code: 'store_unavailable',
    message: expect.stringContaining('Check that its directory exists'),
  })
  await mkdir(missing)
  opened.push(await openSqliteStore(options))
})

it('given a database thread that ends under a commit > that one is unknown, the rest goes on in a new thread', async () => {
  const store = await open()
  await store.update('mailboxes', 'a', increment)
  // The store has not heard of the end when it sends the batch, which a real crash at any time looks like to it.
  const terminated = threads[0]?.terminate()
  await expect(store.update('mailboxes', 'a', increment)).rejects.toMatchObject({ code: 'outcome_unknown' })
  await terminated
  const count = (await store.read<Counter>('mailboxes', 'a'))?.count
  expect([1, 2]).toContain(count)
  expect(await store.update('mailboxes', 'a', increment)).toBe((count ?? NaN) + 1)
  expect(threads).toHaveLength(2)
  expect(warnings).toEqual([
    'The store fails: changes are refused until a commit succeeds.',
    'The database thread had ended; it is started again.',
    'The store serves again.',
  ])
})

it('given a database thread that ends again and again > it is started a bounded number of times, later again', async () => {
  const clock = createTestClock()
  const store = await open(clock)
  for (let kill = 0; kill < limits.STORE_WORKER_RESTARTS_MAX; kill++) {
    await threads.at(-1)?.terminate()
    expect(await store.update('agents', 'a', increment)).toBe(kill + 1)
  }
  await threads.at(-1)?.terminate()
  const refused = { code: 'store_unavailable', message: expect.stringContaining('not started again for now') }
  await expect(store.update('agents', 'b', increment)).rejects.toMatchObject(refused)
  await expect(store.update('agents', 'a', increment)).rejects.toMatchObject(refused)
  expect(store.health()).toMatchObject({ state: 'failing', error: refused })
  clock.advance(limits.STORE_WORKER_RESTARTS_MS)
  // The store's own try, which was refused before the time was over, may be what the first update finds.
  const count = await vi.waitFor(() => store.update('agents', 'a', increment))
  expect(count).toBe(limits.STORE_WORKER_RESTARTS_MAX + 1)
  expect(store.health()).toEqual({ state: 'ok' })
})

it('given a database that another store has opened while the thread was down > this store stores nothing more', async () => {
  const first = await open()
  await threads[0]?.terminate()
  const second = await open()
  await second.update('agents', 'a', increment)
  await second[Symbol.asyncDispose]()
  await expect(first.update('agents', 'a', increment)).rejects.toMatchObject({
    code: 'store_unavailable',
    message: expect.stringContaining('Another hub has opened'),
  })
})

it('given a thread that is dead > closing ends all the same', async () => {
  const store = await open()
  await threads[0]?.terminate()
  await store[Symbol.asyncDispose]()
  expect(await (await open()).read('agents', 'a')).toBeUndefined()
})
