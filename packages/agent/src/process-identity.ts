/** Names one process for good, and tells whether it still lives: a pid alone may be another's by now. */
import { field, integerField, stringField, type JsonObject } from '@downlink/protocol'
import { readlink } from 'node:fs/promises'
import { createProcessTable, isAlive, type ProcessTable } from './tasks/process-table.ts'

/** A process of one boot of one machine; what the system does not tell is left out. */
export interface ProcessIdentity {
  readonly pid: number
  readonly processStart?: string
  readonly bootId?: string
  /** In which pids count, where there are such (Linux): those of a container are others than the machine's. */
  readonly pidNamespace?: string
}

/** `unknown`: it is, or was, of another boot or container, where its pid says nothing here; or the system does not tell. */
export type ProcessLife = 'lives' | 'gone' | 'unknown'

const FACT_CHARS_MAX = 128

/** This process. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const table = createProcessTable(process.platform)
  const [bootId, row, pidNamespace] = await Promise.all([
    table?.bootId().catch(() => undefined),
    table?.find(process.pid).catch(() => undefined),
    readlink('/proc/self/ns/pid').catch(() => undefined),
  ])
  return {
    pid: process.pid,
    ...(row === undefined ? {} : { processStart: row.startTime }),
    ...(bootId === undefined ? {} : { bootId }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  }
}

/** Reads an identity that was kept as JSON; undefined if it is none. */
export function parseIdentity(json: JsonObject): ProcessIdentity | undefined {
  const pid = integerField(json, 'pid', 1, 2 ** 31 - 1)
  if (pid === undefined) return undefined
  const text = <K extends string>(name: K): { [name in K]?: string } => {
    const value = field(json, name) === undefined ? undefined : stringField(json, name, FACT_CHARS_MAX)
    return value === undefined ? {} : ({ [name]: value } as { [name in K]: string })
  }
  return { pid, ...text('processStart'), ...text('bootId'), ...text('pidNamespace') }
}

/** Whether `other` lives. @param own - who asks. */
export async function lifeOf(
  other: ProcessIdentity,
  own: ProcessIdentity,
  table: ProcessTable | undefined = createProcessTable(process.platform),
): Promise<ProcessLife> {
  if (other.bootId !== own.bootId || other.pidNamespace !== own.pidNamespace) return 'unknown'
  if (table === undefined || other.processStart === undefined)
    return hasProcess(other.pid) ? 'unknown' : 'gone'
  const row = await table.find(other.pid)
  return row !== undefined && isAlive(row) && row.startTime === other.processStart ? 'lives' : 'gone'
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
