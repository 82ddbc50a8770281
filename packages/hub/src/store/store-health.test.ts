import { limits } from '@downlink/protocol'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { beforeEach, expect, it } from 'vitest'
import type { CommitBackend, CommitReply } from './commit-batch.ts'
import { watchBackend, type WatchedBackend } from './store-health.ts'
import { StoreError } from './store.ts'

const EMPTY = { writes: [], history: [] }
const ok = { state: 'ok' }
const full = new StoreError('store_full', 'no space')

let clock: ReturnType<typeof createTestClock>
let commits: PromiseWithResolvers<CommitReply>[]
let loadError: Error | undefined
let told: (StoreError | undefined)[]
let watched: WatchedBackend

beforeEach(() => {
  clock = createTestClock()
  commits = []
  loadError = undefined
  told = []
  const backend: CommitBackend = {
    async load() {
      if (loadError !== undefined) throw loadError
      return undefined
    },
    commit() {
      const commit = Promise.withResolvers<CommitReply>()
      commits.push(commit)
      return commit.promise
    },
  }
  watched = watchBackend(backend, clock, (error) => told.push(error))
})

/** Begins a commit that ends as the test says. */
function begin(): Promise<unknown> {
  return watched
    .commit(EMPTY, () => undefined)
    .then(
      () => 'stored',
      (error: unknown) => error,
    )
}

it('given a commit that fails > the store fails until another one succeeds, and each change is told once', async () => {
  expect(watched.health()).toEqual(ok)
  for (let tries = 0; tries < 2; tries++) {
    const commit = begin()
    commits.at(-1)?.reject(full)
    expect(await commit).toBe(full)
    expect(watched.health()).toEqual({ state: 'failing', error: full })
  }
  const commit = begin()
  expect(watched.health(), 'a try mends nothing').toMatchObject({ state: 'failing' })
  commits.at(-1)?.resolve({ conflicts: [] })
  await commit
  expect(watched.health()).toEqual(ok)
  expect(told).toEqual([full, undefined])
})

it('given a commit whose outcome is unknown > of the store it says that it fails', async () => {
  const commit = begin()
  commits[0]?.reject(new StoreError('outcome_unknown', 'the disk is gone'))
  expect(await commit).toMatchObject({ code: 'outcome_unknown' })
  expect(watched.health()).toMatchObject({
    state: 'failing',
    error: { code: 'store_failed', message: 'the disk is gone' },
  })
})

it('given a read that fails > the store fails, and a read that succeeds does not mend it', async () => {
  loadError = new StoreError('store_failed', 'cannot read')
  await expect(watched.load('agents', 'a')).rejects.toBe(loadError)
  const failing = { state: 'failing', error: loadError }
  loadError = undefined
  expect(await watched.load('agents', 'a')).toBeUndefined()
  expect(watched.health()).toEqual(failing)
})

it('given a commit that takes too long > the store fails while it does', async () => {
  const commit = begin()
  clock.advance(limits.STORE_COMMIT_MS_MAX - 1)
  expect(watched.health()).toEqual(ok)
  clock.advance(1)
  expect(watched.health()).toMatchObject({
    state: 'failing',
    error: { code: 'store_failed', message: expect.stringContaining(`${limits.STORE_COMMIT_MS_MAX} ms`) },
  })
  commits[0]?.resolve({ conflicts: [] })
  await commit
  expect(watched.health()).toEqual(ok)
})
