/** A wall clock of one process that a test sets while it runs, by libfaketime; its monotonic clock stays the machine's. */
import { globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A wall clock to set. */
export interface FakeWall {
  /** For the process that is to have it. */
  readonly env: Readonly<Record<string, string>>
  /** By how much it differs from the machine's, such as `+2h`. */
  set(offset: string): void
}

/** One in `folder`, right until it is set. @throws if the library is not there. */
export function createFakeWall(folder: string, name: string): FakeWall {
  const [library] = globSync('/usr/lib/**/faketime/libfaketimeMT.so.1')
  if (library === undefined) throw new Error('libfaketime is missing. Install the package faketime.')
  const file = join(folder, `wall-${name}`)
  const set = (offset: string): void => writeFileSync(file, `${offset}\n`)
  set('+0')
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    set,
  }
}
