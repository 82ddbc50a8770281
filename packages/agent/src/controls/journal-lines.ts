/** The journal's text: one checksummed line for each record, and how far a file of them can be believed. Pure. */
import { crc32 } from 'node:zlib'
import type { LedgerRecord } from './ledger-records.ts'

/** One journal line: the CRC-32 of the JSON, a space, the JSON. */
export function encodeRecord(record: LedgerRecord): string {
  const json = JSON.stringify(record)
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

/** The records up to the first line that is torn or damaged; `damaged` if anything readable stands behind it. */
export function readRecords(text: string): {
  readonly records: readonly LedgerRecord[]
  readonly goodBytes: number
  readonly damaged: boolean
} {
  const records: LedgerRecord[] = []
  let start = 0
  for (;;) {
    const end = text.indexOf('\n', start)
    const record = end === -1 ? undefined : decodeRecord(text.slice(start, end))
    if (record === undefined) {
      const rest = end === -1 ? '' : text.slice(end + 1)
      const damaged = rest.split('\n').some((line) => decodeRecord(line) !== undefined)
      return { records, goodBytes: Buffer.byteLength(text.slice(0, start)), damaged }
    }
    records.push(record)
    start = end + 1
  }
}

function decodeRecord(line: string): LedgerRecord | undefined {
  const json = line.slice(9)
  if (line.length < 10 || line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) return undefined
  // The checksum vouches for it: only this code wrote such a line.
  return JSON.parse(json) as LedgerRecord
}
