/** What one write that is on the disk costs here: the floor under everything durable. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { dropScratch, scratchFolder } from './scratch.ts'

/** A page of SQLite: about what one commit appends. */
const WRITE_BYTES = 4_096

/** Times of `count` writes with their fsync, µs, sorted. */
export function fsyncTimesUs(count: number): readonly number[] {
  const folder = scratchFolder('fsync')
  const file = openSync(join(folder, 'appended'), 'w')
  const bytes = new Uint8Array(WRITE_BYTES)
  const times = Array.from({ length: count }, () => {
    const began = process.hrtime.bigint()
    writeSync(file, bytes)
    fdatasyncSync(file)
    return Number(process.hrtime.bigint() - began) / 1e3
  })
  closeSync(file)
  dropScratch(folder)
  return times.toSorted((a, b) => a - b)
}

/** Of sorted numbers. */
export function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.round(part * (sorted.length - 1))] ?? Number.NaN
}
