/** The SQLite store under kills and on full disks: what was answered is on the disk. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { limits, systemClock } from '@downlink/protocol'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openSqliteStore } from './sqlite-store.ts'
import type { Change, Store } from './store.ts'

interface Counter {
  readonly count: number
}

/** Updates eight documents over and over, with several updates always under way, and prints each result once it has it. */
const UPDATER = `
  const [storeUrl, clockUrl, file] = process.argv.slice(-3)
  const { openSqliteStore } = await import(storeUrl)
  const { systemClock } = await import(clockUrl)
  const store = await openSqliteStore({ file, clock: systemClock })
  async function count(key) {
    for (;;) {
      const line = await store.update('mailboxes', key, (document) => {
        const count = (document?.count ?? 0) + 1
        const entry = { agentId: key, atMs: count, kind: 'counted', data: { count, serviceMs: store.serviceMs() } }
        return { document: { count }, history: [entry], result: key + ' ' + count }
      })
      process.stdout.write(line + '\\n')
    }
  }
  await Promise.all(Array.from({ length: 24 }, (_, n) => count('k' + (n % 8))))
`

let directory: string
let ends: (() => unknown)[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'downlink-fault-'))
  ends = [() => rmSync(directory, { recursive: true })]
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

async function open(file: string, options: { fileBytesMax?: number } = {}): Promise<Store> {
  const store = await openSqliteStore({ file, clock: systemClock, ...options })
  ends.push(() => store[Symbol.asyncDispose]())
  return store
}

/** Lets the updater run until it has printed `lines` results, kills it with SIGKILL, and returns all it has printed. */
async function updateUntilKilled(file: string, lines: number): Promise<string[]> {
  const storeUrl = new URL('sqlite-store.ts', import.meta.url).href
  const clockUrl = new URL('../../../protocol/src/clock.ts', import.meta.url).href
  const updater = spawn(
    process.execPath,
    ['--conditions=@downlink/source', '--input-type=module', '-e', UPDATER, '--', storeUrl, clockUrl, file],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  ends.push(() => updater.kill('SIGKILL'))
  const exited = once(updater, 'exit')
  const printed: string[] = []
  for await (const line of createInterface({ input: updater.stdout })) {
    if (printed.push(line) === lines) updater.kill('SIGKILL')
  }
  const [code, signal] = (await exited) as [number | null, string | null]
  expect({ code, signal }, 'the updater must end by our kill only; see what it wrote above').toEqual({
    code: null,
    signal: 'SIGKILL',
  })
  return printed
}

it(
  'given a process that is killed while it updates > every result that it had is there',
  { timeout: 60_000 },
  async () => {
    const file = join(directory, 'hub.sqlite')
    let epoch = 0
    const seen = new Set<string>()
    for (const lines of [1, 50, 333, 1_000]) {
      for (const line of await updateUntilKilled(file, lines)) {
        expect(seen.has(line), `${line} was answered twice: an update was lost in between`).toBe(false)
        seen.add(line)
      }
      await using store = await openSqliteStore({ file, clock: systemClock })
      expect(store.epoch).toBeGreaterThan(epoch)
      epoch = store.epoch
      for (let n = 0; n < 8; n++) {
        const key = `k${n}`
        const count = (await store.read<Counter>('mailboxes', key))?.count ?? 0
        const answered = [...seen]
          .filter((line) => line.startsWith(`${key} `))
          .map((line) => Number(line.slice(3)))
        expect(count).toBeGreaterThanOrEqual(Math.max(0, ...answered))
        const history = await store.readHistory({ agentId: key }, { limit: 1_000_000 })
        expect(history.map(({ atMs }) => atMs)).toEqual(
          Array.from({ length: count }, (_, index) => index + 1),
        )
        for (const { data } of history) {
          const { serviceMs } = data as { serviceMs: number }
          expect(
            store.serviceMs(),
            'the service time went back behind a stored stamp',
          ).toBeGreaterThanOrEqual(serviceMs)
        }
      }
    }
  },
)

const fill = (text: string) => (document: { generation: number } | undefined) => {
  const generation = (document?.generation ?? 0) + 1
  return { document: { generation, text }, result: generation } satisfies Change<object, number>
}

/** Fills the store with documents until one is refused; returns how many were answered. */
async function fillUp(store: Store): Promise<number> {
  const text = 'x'.repeat(100_000)
  for (let stored = 0; ; stored++) {
    try {
      await store.update('mailboxes', `k${stored}`, fill(text))
    } catch (error) {
      expect(error).toMatchObject({
        code: 'store_full',
        message: expect.stringContaining('no space left'),
      })
      return stored
    }
  }
}

it('given a database that may not grow > nothing is answered that is not stored, and it goes on once there is space', async () => {
  const file = join(directory, 'hub.sqlite')
  const store = await open(file, { fileBytesMax: 2_000_000 })
  const stored = await fillUp(store)
  expect(stored).toBeGreaterThan(10)
  // With both documents in memory, these three share a batch: one fits, one does not, one rests on the first.
  await store.read('mailboxes', 'large')
  await store.read('mailboxes', 'k0')
  const shared = [
    store.update('mailboxes', 'k0', fill('small')),
    store.update('mailboxes', 'large', fill('x'.repeat(500_000))),
    store.update('mailboxes', 'k0', fill('smaller')),
  ]
  for (const result of await Promise.allSettled(shared)) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store_full' } })
  }
  expect(await store.read('mailboxes', 'k0')).toMatchObject({ generation: 1 })
  expect(await store.read('mailboxes', 'large')).toBeUndefined()
  // A smaller document gives its pages back.
  expect(await store.update('mailboxes', 'k1', fill('small'))).toBe(2)
  expect(await store.update('mailboxes', `k${stored}`, fill('x'.repeat(50_000)))).toBe(1)
  await store[Symbol.asyncDispose]()
  const again = await open(file)
  const documents = await again.list<{ generation: number }>('mailboxes', { limit: 1_000 })
  expect(documents).toHaveLength(stored + 1)
  for (let n = 2; n < stored; n++)
    expect(await again.read('mailboxes', `k${n}`)).toMatchObject({ generation: 1 })
})

const canMount = mountTmpfs()

it.runIf(canMount)(
  'given a disk that is full > nothing is answered that is not stored, and it goes on once there is space',
  async () => {
    const mounted = mountTmpfs(directory)
    if (mounted) ends.push(() => execFileSync('umount', [directory]))
    const file = join(directory, 'hub.sqlite')
    // More than half, so that what is freed also holds the log's copy in the database.
    const ballast = join(directory, 'ballast')
    writeFileSync(ballast, Buffer.alloc(5_000_000))
    const store = await open(file)
    const stored = await fillUp(store)
    await expect(store.update('mailboxes', 'more', fill('x'.repeat(100_000)))).rejects.toMatchObject({
      code: 'store_full',
    })
    rmSync(ballast)
    expect(await store.update('mailboxes', 'more', fill('x'.repeat(100_000)))).toBe(1)
    await store[Symbol.asyncDispose]()
    const again = await open(file)
    for (let n = 0; n < stored; n++)
      expect(await again.read('mailboxes', `k${n}`)).toMatchObject({ generation: 1 })
    expect(await again.read('mailboxes', 'more')).toMatchObject({ generation: 1 })
    expect(await again.list('mailboxes', { limit: limits.PAGE_MAX })).toHaveLength(stored + 1)
  },
)

/** Mounts a file system of 8 MB on `where`; without it, says whether this machine and user can (then it is unmounted at once). */
function mountTmpfs(where?: string): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const target = where ?? mkdtempSync(join(tmpdir(), 'downlink-tmpfs-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', target], { stdio: 'ignore' })
    if (where === undefined) execFileSync('umount', [target])
    return true
  } catch {
    return false
  } finally {
    if (where === undefined) rmSync(target, { recursive: true })
  }
}
