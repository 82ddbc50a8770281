/** Where an agent keeps its key: a file that only its owner can read, or memory. */
import { DownlinkError } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { syncDirectory } from './sync-directory.ts'

/** Keeps one key. */
export interface Credential {
  /** The key, or undefined if there is none yet. */
  read(): Promise<string | undefined>
  /** Resolves once the key would survive a crash; only then may it be used. */
  write(key: string): Promise<void>
  /** Puts the key aside, so that it is not used again. */
  wipe(): Promise<void>
}

const KEY_CHARS_MAX = 4_096

/**
 * A credential in a file with mode 0600, replaced as a whole. A leading `~/` means the home directory.
 * @throws DownlinkError `credential_unreadable` from `read` when the file is too open, too large or not readable.
 */
export function fileCredential(path: string): Credential {
  const file = path.startsWith('~/') ? join(homedir(), path.slice(2)) : path
  return {
    async read() {
      try {
        const key = (await readPrivate(file)).trim()
        return key === '' ? undefined : key
      } catch (error) {
        if (isMissing(error)) return undefined
        throw error
      }
    },
    async write(key) {
      await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      const temporary = `${file}.${randomUUID().slice(0, 8)}.new`
      try {
        await writeSynced(temporary, `${key}\n`)
        await rename(temporary, file)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      await syncDirectory(dirname(file))
    },
    async wipe() {
      try {
        await rename(file, `${file}.revoked`)
      } catch (error) {
        if (!isMissing(error)) throw error
      }
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

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function readPrivate(file: string): Promise<string> {
  const handle = await open(file, 'r')
  try {
    const { mode, size } = await handle.stat()
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new DownlinkError(
        'credential_unreadable',
        `The credential file ${file} can be read by others (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${file}`,
      )
    }
    if (size > KEY_CHARS_MAX) {
      throw new DownlinkError(
        'credential_unreadable',
        `The credential file ${file} has ${size} bytes; a key has at most ${KEY_CHARS_MAX}. Is it the right file?`,
      )
    }
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
