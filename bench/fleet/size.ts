/** How many streams this machine takes: each is one open file of the hub and one of the generator. */
import { readFileSync } from 'node:fs'

/** Files of a process beside its streams: syncs and operators on their way, the database, the process itself. */
const OTHER_FILES = 600

/** The hard limit on open files of what this process starts. */
export function fileLimit(): number {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  return line?.[1] === 'unlimited' ? Infinity : Number(line?.[1] ?? 0)
}

/**
 * The streams to measure with: `wanted`, or what the limit leaves, which is told.
 * @param filesPerStream - two where a proxy stands between.
 */
export function streamsWithin(wanted: number, files: number, filesPerStream = 1): number {
  return Math.max(1, Math.min(wanted, Math.floor((files - OTHER_FILES) / filesPerStream)))
}

/** As {@link streamsWithin} on this machine; says so where there are fewer. */
export function streamsHere(wanted: number, filesPerStream = 1): number {
  const streams = streamsWithin(wanted, fileLimit(), filesPerStream)
  if (streams < wanted) {
    console.error(
      `Only ${streams} streams instead of ${wanted}: a process may have ${fileLimit()} open files here (ulimit -Hn).`,
    )
  }
  return streams
}
