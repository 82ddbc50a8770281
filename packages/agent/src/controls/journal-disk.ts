/** The part of the file system that a journal uses, so that a test can make every step of it fail. */
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { syncDirectory } from '../state-directory/sync-directory.ts'

/** The part of an open file that a journal uses. */
export type JournalFile = Pick<FileHandle, 'write' | 'sync' | 'datasync' | 'truncate' | 'close'>

/** What a journal asks of a disk. */
export interface JournalDisk {
  /** Makes the folder with mode 0700 unless it is there. */
  makeDirectory(path: string): Promise<void>
  /** The names in the folder. */
  list(directory: string): Promise<readonly string[]>
  /** The whole file as text, or undefined if there is none. */
  read(path: string): Promise<string | undefined>
  /** Makes the file with mode 0600, or empties it. */
  create(path: string): Promise<JournalFile>
  rename(from: string, to: string): Promise<void>
  /** Does nothing if there is none. */
  remove(path: string): Promise<void>
  /** Resolves once the names in the folder are on disk. */
  syncDirectory(path: string): Promise<void>
}

/** The disk of this machine. */
export const realDisk: JournalDisk = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o700 })
  },
  list: (directory) => readdir(directory),
  read: (path) =>
    readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    }),
  create: (path) => open(path, 'w+', 0o600),
  rename,
  remove: (path) => rm(path, { force: true }),
  syncDirectory,
}

/** Writes all of `bytes` at `position`: a disk that fills up takes a part and says so only by the count. */
export async function writeAll(file: JournalFile, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written)
    if (bytesWritten === 0) throw Object.assign(new Error('The disk takes nothing.'), { code: 'ENOSPC' })
    written += bytesWritten
  }
}

const FULL = new Set(['ENOSPC', 'EDQUOT'])
const PASSING = new Set([...FULL, 'EIO', 'EROFS', 'EMFILE', 'ENFILE', 'ETIMEDOUT', 'ESTALE'])

/** Whether the disk, or the quota, is full: what was written before is not in doubt. */
export function isDiskFull(error: unknown): boolean {
  return FULL.has(codeOf(error) ?? '')
}

/** Whether the fault may pass by itself or by somebody's help, as that of a full disk; a wrong path does not. */
export function mayPass(error: unknown): boolean {
  return PASSING.has(codeOf(error) ?? '')
}

/** The code of a system's error, such as `ENOSPC`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
