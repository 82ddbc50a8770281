/** Who holds a lock, in one short line, and whether that process still lives: a pid alone may be another's by now. */
import { createHash } from 'node:crypto'
import { readlink } from 'node:fs/promises'
import { createProcessTable, isAlive } from '../tasks/process-table.ts'

/**
 * A process, and the directory that it holds. All but the pid are compared and never read, so that their digests do:
 * the line fits into the inode of a symbolic link, which a full disk still makes.
 */
export interface LockHolder {
  readonly pid: number
  /** The boot of the machine, and where there are such the namespace in which pids count, as of a container. */
  readonly place: string
  /** When the process started; `none` where the system does not tell. */
  readonly start: string
  /** The directory's inode: a lock that came with a copy of another directory says nothing. */
  readonly inode: string
}

/** `unknown`: it is, or was, of another boot or container, where its pid says nothing here; or the system does not tell. */
export type HolderLife = 'lives' | 'gone' | 'unknown'

const UNKNOWN = 'none'
const HOLDER = /^(\d{1,10}) ([0-9a-z]{1,12}) ([0-9a-z]{1,12}) ([0-9a-z]{1,12})$/

/** This process, as holder of the directory with this inode. */
export async function ownHolder(inode: bigint): Promise<LockHolder> {
  const table = createProcessTable(process.platform)
  const [bootId, row, namespace] = await Promise.all([
    table?.bootId().catch(() => undefined),
    table?.find(process.pid).catch(() => undefined),
    readlink('/proc/self/ns/pid').catch(() => undefined),
  ])
  return {
    pid: process.pid,
    place: digest(`${bootId ?? UNKNOWN} ${namespace ?? UNKNOWN}`),
    start: row === undefined ? UNKNOWN : digest(row.startTime),
    inode: digest(String(inode)),
  }
}

/** The line of a holder. */
export function holderText({ pid, place, start, inode }: LockHolder): string {
  return `${pid} ${place} ${start} ${inode}`
}

/** Reads it; undefined if it names nobody. */
export function parseHolder(text: string): LockHolder | undefined {
  const [, pid, place, start, inode] = HOLDER.exec(text.trim()) ?? []
  if (pid === undefined || place === undefined || start === undefined || inode === undefined) return undefined
  return { pid: Number(pid), place, start, inode }
}

/** Whether `holder` lives. @param own - who asks. */
export async function lifeOf(holder: LockHolder, own: LockHolder): Promise<HolderLife> {
  if (holder.place !== own.place) return 'unknown'
  const table = createProcessTable(process.platform)
  if (table === undefined || holder.start === UNKNOWN) return hasProcess(holder.pid) ? 'unknown' : 'gone'
  const row = await table.find(holder.pid)
  return row !== undefined && isAlive(row) && digest(row.startTime) === holder.start ? 'lives' : 'gone'
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
