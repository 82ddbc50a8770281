/** Asks `ps` what the processes of a task's group do. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Bytes of what ps prints: machines with very many processes have long lists. */
const PS_BYTES_MAX = 16_777_216

/** One process of a group. */
export interface ListedProcess {
  readonly pid: number
  /** Such as `S` sleeping, `R` running, `T` stopped, `Z` ended but not yet taken note of. */
  readonly stat: string
  readonly command: string
}

/**
 * The group of the child of this process whose command line contains `marker`.
 * Undefined if there is none, or no `ps` on this machine.
 */
export async function findGroup(marker: string): Promise<number | undefined> {
  for (const line of await psLines('pid=,ppid=,args=')) {
    const match = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)
    // A task's first process leads its group, which bears its number.
    if (match !== null && Number(match[2]) === process.pid && match[3]?.includes(marker) === true) {
      return Number(match[1])
    }
  }
  return undefined
}

/** The processes of a group, the ended ones left out; undefined if there is no `ps`. */
export async function listGroup(group: number): Promise<readonly ListedProcess[] | undefined> {
  const lines = await psLines('pid=,pgid=,stat=,comm=')
  if (lines.length === 0) return undefined
  return lines.flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*?)\s*$/.exec(line)
    if (match === null || Number(match[2]) !== group || match[3]?.startsWith('Z') === true) return []
    return [{ pid: Number(match[1]), stat: match[3] ?? '', command: match[4] ?? '' }]
  })
}

async function psLines(columns: string): Promise<readonly string[]> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-A', '-o', columns], { maxBuffer: PS_BYTES_MAX })
    return stdout.split('\n').filter((line) => line.trim() !== '')
  } catch {
    // The tour does without.
    return []
  }
}
