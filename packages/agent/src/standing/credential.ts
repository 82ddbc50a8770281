/** Where an agent keeps its key: a file that only its owner can read, or memory. */
import { DownlinkError, systemClock } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../state-directory/sync-directory.ts'

/** Keeps one key. */
export interface Credential {
  /** The key, or undefined if there is none yet. */
  read(): Promise<string | undefined>
  /** Resolves once the key would survive a crash; only then may it be used. */
  write(key: string): Promise<void>
  /** Puts the key aside, so that it is not used again. */
  wipe(): Promise<void>
  /** Keeps the id of an exchange that has begun, so that `enroll` can repeat it after a crash. */
  readonly pendingExchange?: PendingExchange
}

/** Keeps one id. No secret, but worth as little to others as the key. */
export interface PendingExchange {
  read(): Promise<string | undefined>
  /** Resolves once the id would survive a crash. */
  write(exchangeId: string): Promise<void>
  clear(): Promise<void>
}

const KEY_BYTES_MAX = 4_096

/**
 * A credential in a file with mode 0600, replaced as a whole, in a folder made with mode 0700 if it is missing. A
 * leading `~/` means the home directory. Put aside, it stays beside itself as `….revoked-TIME`.
 * @throws DownlinkError `credential_unreadable` from `read` when others can read the file or own it, when it is a link,
 * or no file of a key's size.
 */
export function fileCredential(path: string): Credential {
  const file = path.startsWith('~/') ? join(homedir(), path.slice(2)) : path
  return {
    read: () => readPrivate(file),
    write: (key) => replacePrivate(file, key),
    async wipe() {
      // Two within a millisecond must not overwrite one another: nothing is ever deleted here.
      const name = `${new Date(systemClock.wallMs()).toISOString().replaceAll(':', '-')}-${randomUUID().slice(0, 4)}`
      try {
        await rename(file, `${file}.revoked-${name}`)
      } catch (error) {
        if (!isMissing(error)) throw error
        return
      }
      await syncDirectory(dirname(file))
    },
    pendingExchange: {
      read: () => readPrivate(`${file}.exchange`),
      write: (exchangeId) => replacePrivate(`${file}.exchange`, exchangeId),
      clear: () => rm(`${file}.exchange`, { force: true }),
    },
  }
}

/** A credential that ends with the process. */
export function memoryCredential(key?: string): Credential {
  let current = key
  return {
    read: () => Promise.resolve(current),
    write(next) {
      current = next
      return Promise.resolve()
    },
    wipe() {
      current = undefined
      return Promise.resolve()
    },
  }
}

async function replacePrivate(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const temporary = `${file}.${randomUUID().slice(0, 8)}.new`
  try {
    await writeSynced(temporary, `${text}\n`)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(dirname(file))
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The text of a file that only this user can read, or undefined if there is none or it is empty. */
async function readPrivate(file: string): Promise<string | undefined> {
  let handle: FileHandle
  try {
    // A pipe would be waited for; a link may point to what others can change. Windows has no such flags: none are set.
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isMissing(error)) return undefined
    if (codeOf(error) === 'ELOOP') throw unreadable(`${file} is a link. Give the path of the file itself.`)
    throw error
  }
  try {
    assertPrivate(file, await handle.stat())
    const buffer = Buffer.alloc(KEY_BYTES_MAX + 1)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    if (bytesRead > KEY_BYTES_MAX) {
      throw unreadable(
        `${file} has more than ${KEY_BYTES_MAX} bytes, the most of a key. Is it the right file?`,
      )
    }
    const text = buffer.toString('utf8', 0, bytesRead).trim()
    return text === '' ? undefined : text
  } finally {
    await handle.close()
  }
}

function assertPrivate(file: string, stats: Stats): void {
  if (!stats.isFile()) throw unreadable(`${file} is no regular file. Give the path of one.`)
  if (process.platform === 'win32') return
  const uid = process.getuid?.()
  if (uid !== undefined && stats.uid !== uid) {
    throw unreadable(
      `${file} belongs to user ${stats.uid}, and this process runs as user ${uid}. Run: chown ${uid} ${file}`,
    )
  }
  if ((stats.mode & 0o077) !== 0) {
    throw unreadable(
      `${file} can be read by others (mode ${(stats.mode & 0o777).toString(8)}). Run: chmod 600 ${file}`,
    )
  }
}

function unreadable(what: string): DownlinkError {
  return new DownlinkError('credential_unreadable', `The credential file ${what}`, { retry: 'never' })
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
