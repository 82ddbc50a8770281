/** Keeps a directory for one process: two agents on one journal would ruin it. Needs no more of a file system than symbolic links, and no room on it. */
import { delay, DownlinkError, limits, type Clock, type Timer } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { lstat, lutimes, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { holderText, lifeOf, ownHolder, parseHolder, type LockHolder } from './lock-holder.ts'

/*
 * The lock is the symbolic link `lock.N` with the highest N, and the process that its text names. A lock that is free,
 * because it names nobody or its process is gone, is never removed or replaced by a successor, who would have to be
 * sure that nobody else does the same: it is outnumbered. A link comes to be whole, and for one process only; and
 * whoever finds a higher number than its own after that gives way.
 */

/** A directory that is this process's. Disposing of it lets go of it. */
export interface DirectoryLock extends AsyncDisposable {
  /** Aborts when another process has it: one that could not see that this one lives, as it stood still for long. */
  readonly lost: AbortSignal
}

const NAME = /^lock\.(\d{1,15})$/
const FREE = 'free'
const ATTEMPTS_MAX = 16

/**
 * Takes the directory, which is made with mode 0700 if it is missing. The lock of a process that is gone is taken over
 * at once; that of one in another container or machine, which cannot be seen from here, once it has shown no life for
 * `LOCK_SILENT_MS`.
 * @throws DownlinkError `state_directory_in_use`, naming the process that has it; the error of the file system.
 */
export async function lockDirectory(directory: string, clock: Clock): Promise<DirectoryLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const own = await ownHolder((await stat(directory, { bigint: true })).ino)
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const highest = await highestOf(directory)
    if (highest > 0) await assertFree(join(directory, `lock.${highest}`), directory, own, clock)
    const path = join(directory, `lock.${highest + 1}`)
    if (!(await isMade(path, holderText(own)))) continue
    await touch(path, clock)
    if ((await highestOf(directory)) === highest + 1) {
      await removeBelow(directory, highest + 1)
      return new HeldLock(path, clock)
    }
    await rm(path, { force: true })
  }
  throw inUse(directory, 'others that start at the same time')
}

class HeldLock implements DirectoryLock {
  readonly #path: string
  readonly #clock: Clock
  readonly #lost = new AbortController()
  #timer: Timer | undefined
  #beating: Promise<void> = Promise.resolve()

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
    this.#wait()
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer === undefined) return
    this.#timer.cancel()
    this.#timer = undefined
    await this.#beating
    if (this.#lost.signal.aborted) return
    const draft = `${this.#path}.${randomUUID().slice(0, 8)}.new`
    // Where it cannot be let go of, its process is gone soon, which says the same.
    await symlink(FREE, draft)
      .then(() => rename(draft, this.#path))
      .catch(() => undefined)
  }

  #wait(): void {
    this.#timer = this.#clock.setTimer(limits.LOCK_BEAT_MS, () => {
      this.#beating = this.#beat()
    })
  }

  async #beat(): Promise<void> {
    try {
      await touch(this.#path, this.#clock)
    } catch (error) {
      // Anything else passes: a disk that fails takes the lock from nobody.
      if (codeOf(error) === 'ENOENT') return this.#lost.abort()
    }
    if (this.#timer !== undefined) this.#wait()
  }
}

/** @throws DownlinkError `state_directory_in_use`. */
async function assertFree(path: string, directory: string, own: LockHolder, clock: Clock): Promise<void> {
  const holder = parseHolder((await readlink(path).catch(ignoreMissing)) ?? FREE)
  if (holder === undefined || holder.inode !== own.inode) return
  const life = await lifeOf(holder, own)
  if (life === 'gone') return
  if (life === 'lives') {
    const isOwn = holder.pid === own.pid
    throw inUse(directory, isOwn ? 'another agent of this very process' : `process ${holder.pid}`)
  }
  if (await showsLife(path, clock)) {
    throw inUse(directory, `process ${holder.pid} of another container or machine`)
  }
}

/** Watches the time of the link, which its process moves on. */
async function showsLife(path: string, clock: Clock): Promise<boolean> {
  const firstMs = await touchedMs(path)
  if (clock.wallMs() - firstMs > limits.LOCK_SILENT_MS) return false
  const untilMs = clock.monotonicMs() + limits.LOCK_SILENT_MS
  while (clock.monotonicMs() < untilMs) {
    await delay(clock, limits.LOCK_WATCH_MS)
    const nowMs = await touchedMs(path)
    // One that is gone was outnumbered, which is found out when this process makes its own.
    if (nowMs !== firstMs) return nowMs !== 0
  }
  return false
}

/** 0 for a link that is gone. */
async function touchedMs(path: string): Promise<number> {
  return (await lstat(path).catch(ignoreMissing))?.mtimeMs ?? 0
}

async function touch(path: string, clock: Clock): Promise<void> {
  const seconds = clock.wallMs() / 1_000
  await lutimes(path, seconds, seconds)
}

/** False if another process was faster. */
async function isMade(path: string, text: string): Promise<boolean> {
  try {
    await symlink(text, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function highestOf(directory: string): Promise<number> {
  return Math.max(0, ...(await numbersIn(directory)))
}

async function numbersIn(directory: string): Promise<readonly number[]> {
  const names = await readdir(directory)
  return names.flatMap((name) => Number(NAME.exec(name)?.[1] ?? []))
}

async function removeBelow(directory: string, number: number): Promise<void> {
  for (const other of await numbersIn(directory)) {
    if (other < number) await rm(join(directory, `lock.${other}`), { force: true })
  }
}

function inUse(directory: string, by: string): DownlinkError {
  return new DownlinkError(
    'state_directory_in_use',
    `The state directory ${directory} is in use by ${by}. Stop that first, or give this agent a directory and an enrollment of its own.`,
    { retry: 'never' },
  )
}

function ignoreMissing(error: unknown): undefined {
  if (codeOf(error) === 'ENOENT') return undefined
  throw error
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
