/** Keeps a directory for one process: two agents on one journal would ruin it. Needs no more of a file system than links. */
import {
  delay,
  DownlinkError,
  field,
  isJsonObject,
  limits,
  parseJson,
  type Clock,
  type Timer,
} from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import {
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  type FileHandle,
} from 'node:fs/promises'
import { join } from 'node:path'
import { lifeOf, ownIdentity, parseIdentity, type ProcessIdentity } from './process-identity.ts'

/*
 * The lock is the file `lock.N` with the highest N, and the process that is named in it. A lock that is free, because
 * it is empty or its process is gone, is never removed or written by a successor, who would have to be sure that nobody
 * else does the same: it is outnumbered. `lock.N+1` comes to be by a link, complete, and for one process only; and
 * whoever finds a higher number than its own after that gives way.
 */

/** A directory that is this process's. Disposing of it lets go of it. */
export interface DirectoryLock extends AsyncDisposable {
  /** Aborts when another process has it: one that could not see that this one lives, as it stood still for long. */
  readonly lost: AbortSignal
}

const NAME = /^lock\.(\d{1,15})$/
const ATTEMPTS_MAX = 16

/**
 * Takes the directory, which is made with mode 0700 if it is missing. The lock of a process that is gone is taken over
 * at once; that of one in another container or machine, which cannot be seen from here, once it has shown no life for
 * `LOCK_SILENT_MS`.
 * @throws DownlinkError `state_directory_in_use`, naming the process that has it; the error of the file system.
 */
export async function lockDirectory(directory: string, clock: Clock): Promise<DirectoryLock> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const own = await ownIdentity()
  const inode = await inodeOf(directory)
  const draft = join(directory, `lock.${randomUUID().slice(0, 8)}.new`)
  await writeNew(draft, `${JSON.stringify({ ...own, inode })}\n`)
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const highest = await highestOf(directory)
      if (highest > 0) await assertFree(join(directory, `lock.${highest}`), { directory, inode, own, clock })
      const path = join(directory, `lock.${highest + 1}`)
      // Before it can be seen: whoever cannot see this process goes by the time of its file.
      await touch(draft, clock)
      if (!(await linked(draft, path))) continue
      if ((await highestOf(directory)) !== highest + 1) {
        await rm(path, { force: true })
        continue
      }
      await removeBelow(directory, highest + 1)
      return new HeldLock(path, clock)
    }
  } finally {
    await rm(draft, { force: true })
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
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#beating
    await truncate(this.#path).catch(ignoreMissing)
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

/** Who wants which directory. */
interface Candidate {
  readonly directory: string
  readonly inode: string
  readonly own: ProcessIdentity
  readonly clock: Clock
}

/** @throws DownlinkError `state_directory_in_use`. */
async function assertFree(path: string, { directory, inode, own, clock }: Candidate): Promise<void> {
  const holder = await holderOf(path, inode)
  if (holder === undefined) return
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

/**
 * The process that is named in a lock; undefined if none is: it was let go of, or a power cut left it torn, or it came
 * here with a copy of another directory.
 */
async function holderOf(path: string, inode: string): Promise<ProcessIdentity | undefined> {
  const text = await readFile(path, 'utf8').catch(ignoreMissing)
  const json = parseJson((text ?? '').slice(0, limits.MESSAGE_CHARS_MAX), 4)
  return isJsonObject(json) && field(json, 'inode') === inode ? parseIdentity(json) : undefined
}

async function inodeOf(directory: string): Promise<string> {
  return String((await stat(directory, { bigint: true })).ino)
}

/** Watches the time of the file, which its process moves on. */
async function showsLife(path: string, clock: Clock): Promise<boolean> {
  const firstMs = await touchedMs(path)
  const ageMs = clock.wallMs() - firstMs
  if (ageMs > limits.LOCK_SILENT_MS) return false
  const untilMs = clock.monotonicMs() + limits.LOCK_SILENT_MS
  while (clock.monotonicMs() < untilMs) {
    await delay(clock, limits.LOCK_WATCH_MS)
    if ((await touchedMs(path)) !== firstMs) return true
  }
  return false
}

/** 0 for a file that is gone. */
async function touchedMs(path: string): Promise<number> {
  return (await stat(path).catch(ignoreMissing))?.mtimeMs ?? 0
}

async function touch(path: string, clock: Clock): Promise<void> {
  const seconds = clock.wallMs() / 1_000
  await utimes(path, seconds, seconds)
}

async function writeNew(path: string, text: string): Promise<void> {
  const handle: FileHandle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
  } finally {
    await handle.close()
  }
}

/** False if another process was faster. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw new DownlinkError(
      'state_directory_unusable',
      `The state directory cannot be locked, as its file system makes no links (${String(codeOf(error))}). Choose a directory on another one.`,
      { retry: 'never', cause: error },
    )
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
