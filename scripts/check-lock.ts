/** Checks that package-lock.json installs everywhere: every optional binding has its entry, no entry names a host. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface LockEntry {
  readonly resolved?: string
  readonly optionalDependencies?: Readonly<Record<string, string>>
}
/** The part of package-lock.json (version 2 or 3) that matters here. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>
}

/**
 * What is wrong with `lock`, one sentence each; empty if nothing is.
 *
 * npm silently drops the bindings of other platforms that the registry does not have; `npm ci` then fails
 * on every machine, "Missing: … from lock file".
 */
export function lockFaults(lock: Lock): string[] {
  const faults: string[] = []
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!isLocked(lock, path, name)) faults.push(`${path || 'the root'}: its optional ${name} has no entry`)
    }
    if (/^https?:/.test(entry.resolved ?? ''))
      faults.push(`${path}: resolved names a host (${entry.resolved})`)
  }
  return faults
}

/** Looks where Node would: in node_modules beside the dependent, then in each folder above it. */
function isLocked(lock: Lock, dependent: string, name: string): boolean {
  for (let folder = dependent; ; folder = folderAbove(folder)) {
    if (Object.hasOwn(lock.packages, join(folder, 'node_modules', name))) return true
    if (folder === '') return false
  }
}

function folderAbove(folder: string): string {
  const cut = folder.lastIndexOf('/node_modules/')
  return cut < 0 ? '' : folder.slice(0, cut)
}

export function lockFaultsOf(root: string): string[] {
  return lockFaults(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock)
}

/** What to do about any of the faults. */
export const LOCK_REMEDY: string =
  'Choose versions whose bindings are all on the registry, keep omit-lockfile-registry-resolved in .npmrc, run npm install again, and prove it by npm ci in a fresh clone.'
