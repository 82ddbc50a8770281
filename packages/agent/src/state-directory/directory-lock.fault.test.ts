/** The lock of a state directory, with real files and real processes that die. */
import { limits } from '@downlink/protocol'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { lockDirectory, type DirectoryLock } from './directory-lock.ts'
import { createAgent, memoryCredential } from '../index.ts'
import { holderText, ownHolder, type LockHolder } from './lock-holder.ts'

let directory: string
let clock: TestClock
beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'downlink-lock-')), 'state')
  clock = createTestClock()
})
afterEach(() => rm(join(directory, '..'), { recursive: true }))

const lock = (): Promise<DirectoryLock> => lockDirectory(directory, clock)
const inUse = (by: RegExp): object => ({
  code: 'state_directory_in_use',
  message: expect.stringMatching(by) as string,
})

/** A process of its own that has the lock until it is killed. */
async function holder(): Promise<{ readonly pid: number; kill(): Promise<void> }> {
  const script = `
    import { lockDirectory } from ${JSON.stringify(new URL('directory-lock.ts', import.meta.url).href)}
    import { systemClock } from '@downlink/protocol'
    await lockDirectory(${JSON.stringify(directory)}, systemClock)
    console.log('locked')`
  const child = spawn(
    process.execPath,
    ['--conditions=@downlink/source', '--input-type=module', '--eval', script],
    { stdio: ['ignore', 'pipe', 'inherit'], cwd: import.meta.dirname },
  )
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  onTestFinished(kill)
  await once(child.stdout, 'data')
  return { pid: child.pid ?? 0, kill }
}

/** Leaves a lock behind as some other process would. */
async function leave(number: number, content: string, ageMs = 0): Promise<string> {
  await (await lock())[Symbol.asyncDispose]()
  const path = join(directory, `lock.${number}`)
  await symlink(content, path)
  const seconds = (clock.wallMs() - ageMs) / 1_000
  await lutimes(path, seconds, seconds)
  return path
}

/** What a lock of this directory says, but for some facts. */
async function lockText(other: Partial<LockHolder>): Promise<string> {
  await mkdir(directory, { recursive: true })
  const own = await ownHolder((await stat(directory, { bigint: true })).ino)
  return holderText({ ...own, ...other })
}
const dead = (): Promise<string> => lockText({ start: '1' })
const elsewhere = (): Promise<string> => lockText({ place: 'container1' })

describe('given a directory that a process has', () => {
  test('when another one wants it > it is refused by pid, and had once the first is gone, however it went', async () => {
    const { pid, kill } = await holder()
    await expect(lock()).rejects.toMatchObject(inUse(new RegExp(`by process ${pid}\\.`)))
    await kill()
    await using held = await lock()
    expect(held.lost.aborted).toBe(false)
    expect(await readdir(directory), 'nothing of earlier holders is left').toEqual(['lock.2'])
  })

  test('when it is this very process > a second time is refused, until it is let go of', async () => {
    const first = await lock()
    await expect(lock()).rejects.toMatchObject(inUse(/this very process/))
    await first[Symbol.asyncDispose]()
    await first[Symbol.asyncDispose]()
    await using again = await lock()
    expect(again.lost.aborted).toBe(false)
  })

  test('when an agent starts in it > run is refused, and the first one is not disturbed', async () => {
    await using held = await lock()
    const credential = memoryCredential('dla.key-of-a-test')
    const hubs = ['http://127.0.0.1:9']
    const agent = createAgent({ hubs, credential, agentId: 'a1', stateDirectory: directory, clock })
    await expect(agent.run()).rejects.toMatchObject(inUse(/Stop that first/))
    expect(held.lost.aborted).toBe(false)
    expect(await readdir(directory)).toEqual(['lock.1'])
  })
})

test('given a lock that is stale > of many that start at once exactly one has it, every time', async () => {
  for (let round = 1; round <= 25; round += 1) {
    await leave(round * 100, round % 2 === 0 ? await dead() : 'neither free nor a holder')
    const attempts = await Promise.allSettled(Array.from({ length: 8 }, lock))
    const held = attempts.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []))
    expect(held, 'two agents on one journal would ruin it').toHaveLength(1)
    for (const end of attempts) {
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'state_directory_in_use' })
    }
    await held[0]?.[Symbol.asyncDispose]()
  }
})

test('given a copy of a directory that is in use > the copy is free', async () => {
  await leave(7, await lockText({ inode: '1' }))
  await using held = await lock()
  expect(held.lost.aborted).toBe(false)
})

describe('given a lock of a process that cannot be seen from here', () => {
  test('when it has shown no life for long > it is taken over at once', async () => {
    await leave(7, await elsewhere(), limits.LOCK_SILENT_MS + 1)
    await using held = await lock()
    expect(held.lost.aborted).toBe(false)
  })

  test('when it shows none while it is watched > it is taken over then, and not before', async () => {
    await leave(7, await elsewhere())
    const taken = lock()
    let isTaken = false
    void taken.then(() => (isTaken = true))
    await vi.waitFor(() => {
      if (clock.pendingTimers > 0 && !isTaken) clock.advance(clock.nextTimerMs ?? 0)
      expect(isTaken, 'a process that is gone must not keep a directory for ever').toBe(true)
    }, 20_000)
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(limits.LOCK_SILENT_MS)
    await (await taken)[Symbol.asyncDispose]()
  })

  test('when another one takes the directory meanwhile > that one has it, not who saw only the first', async () => {
    await leave(7, await elsewhere())
    const late = lock()
    late.catch(() => undefined)
    await vi.waitUntil(() => clock.pendingTimers === 1)
    // As by two who were faster: the second outnumbered the first, and its number is not the next one any more.
    await symlink(await lockText({}), join(directory, 'lock.9'))
    clock.advance(limits.LOCK_WATCH_MS)
    await unlink(join(directory, 'lock.7'))
    await vi.waitFor(async () => {
      clock.advance(limits.LOCK_WATCH_MS)
      await expect(Promise.race([late, Promise.resolve()])).rejects.toMatchObject(inUse(/this very process/))
    }, 20_000)
    expect(await readdir(directory), 'who gives way leaves nothing').not.toContain('lock.8')
  })

  test('when it shows life > the directory stays its own', async () => {
    const path = await leave(7, await elsewhere())
    const refused = lock()
    refused.catch(() => undefined)
    await vi.waitUntil(() => clock.pendingTimers === 1)
    const seconds = clock.wallMs() / 1_000 + 5
    await lutimes(path, seconds, seconds)
    clock.advance(limits.LOCK_WATCH_MS)
    await expect(refused).rejects.toMatchObject(inUse(/another container or machine/))
    expect(await readlink(path)).toBe(await elsewhere())
  })
})

describe('given a lock that is held', () => {
  test('when time goes by > its file shows life for those who see no more than that', async () => {
    await using _held = await lock()
    const path = join(directory, 'lock.1')
    const before = (await lstat(path)).mtimeMs
    clock.advance(limits.LOCK_BEAT_MS)
    await expect.poll(async () => (await lstat(path)).mtimeMs).toBe(before + limits.LOCK_BEAT_MS)
  })

  test('when another process took it, as this one stood still > that is told', async () => {
    await using held = await lock()
    await unlink(join(directory, 'lock.1'))
    clock.advance(limits.LOCK_BEAT_MS)
    await expect.poll(() => held.lost.aborted).toBe(true)
  })
})
