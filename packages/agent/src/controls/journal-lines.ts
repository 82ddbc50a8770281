/** The journal's text: one checksummed line for each record, and how far a file of them can be believed. Pure. */
import { isJsonObject } from '@downlink/protocol'
import { crc32 } from 'node:zlib'
import type { LedgerRecord } from './ledger-records.ts'
import { foldRecord, newLedgerState, type LedgerTask } from './ledger-state.ts'

/** A later version may have written others: what they decided is not known here. */
const TYPES: ReadonlySet<unknown> = new Set(
  Object.keys({
    journal: true,
    intent: true,
    outcome: true,
    forget: true,
    decision: true,
    task: true,
    facts: true,
    end: true,
    drop: true,
    lane: true,
    intended: true,
  } satisfies Record<LedgerRecord['type'], true>),
)

/** One journal line: the CRC-32 of the JSON, a space, the JSON. */
export function encodeRecord(record: LedgerRecord): string {
  const json = JSON.stringify(record)
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

/** What a file of lines says. */
export interface ReadJournal {
  /** Up to the first line that cannot be read. */
  readonly records: readonly LedgerRecord[]
  /** Whether anything is missing but a last line that a crash cut off before it was promised. */
  readonly damaged: boolean
}

/**
 * Reads a journal. A line without its end is what a crash leaves of a write; a line with its end that cannot be read is
 * damage, the last one too, since it may have been promised.
 */
export function readRecords(text: string): ReadJournal {
  const records: LedgerRecord[] = []
  let start = 0
  for (;;) {
    const end = text.indexOf('\n', start)
    const record = end === -1 ? undefined : decodeRecord(text.slice(start, end))
    if (record === undefined) {
      const isTorn = end === -1 && !isWholeButItsEnd(text.slice(start))
      return { records, damaged: !isTorn }
    }
    records.push(record)
    start = end + 1
  }
}

/** The unfinished tasks of a damaged journal, by whatever lines of it can be read: something of them may still run. */
export function salvageTasks(text: string): readonly LedgerTask[] {
  const state = newLedgerState()
  for (const line of text.split('\n')) {
    const record = decodeRecord(line)
    if (record !== undefined) foldRecord(state, record)
  }
  return [...state.tasks.values()].filter((task) => task.end === undefined && task.facts !== undefined)
}

/** A whole record whose line end was hit: a cut would have left less. */
function isWholeButItsEnd(tail: string): boolean {
  return decodeRecord(tail.slice(0, -1)) !== undefined
}

function decodeRecord(line: string): LedgerRecord | undefined {
  const json = line.slice(9)
  if (line.length < 10 || line.slice(0, 9) !== `${crc32(json).toString(16).padStart(8, '0')} `)
    return undefined
  const record = parsed(json)
  // The checksum vouches for the rest: only this code, or a later version of it, wrote such a line.
  return isJsonObject(record) && TYPES.has(record.type) ? (record as unknown as LedgerRecord) : undefined
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
