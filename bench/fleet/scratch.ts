/** Folders of one run, on the disk that holds this checkout, as an fsync in memory would be no fsync; gone with the process, whatever ends it. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../.scratch/', import.meta.url))
const made = new Set<string>()

// Without this a signal would end the process past its exit handlers, and leave folders and children behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.once('exit', () => made.forEach(remove))

/** A new folder. */
export function scratchFolder(name: string): string {
  mkdirSync(ROOT, { recursive: true })
  const folder = mkdtempSync(`${ROOT}${name}-`)
  made.add(folder)
  return folder
}

/** Removes a folder before its time, as databases are large. */
export function dropScratch(folder: string): void {
  remove(folder)
  made.delete(folder)
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}
