/** What the operating system says about running processes: /proc on Linux, ps and sysctl on macOS. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** A process as the operating system lists it. */
export interface ProcessRow {
  readonly pid: number
  readonly parentPid: number
  readonly pgrp: number
  /** The session, where the system tells it (Linux). */
  readonly session?: number
  /** One letter: R, S, D, T, t, Z, …; on macOS U for D. */
  readonly state: string
  readonly threads: number
  /** When it started, in the words of the system; with the pid it names one process of one boot. */
  readonly startTime: string
}

/** The processes of this machine. */
export interface ProcessTable {
  /** Names this boot of the machine. */
  bootId(): Promise<string>
  find(pid: number): Promise<ProcessRow | undefined>
  list(): Promise<readonly ProcessRow[]>
  /** Whether the process was started with `variable=value` in its environment; false if that cannot be told. */
  hasVariable(pid: number, variable: string, value: string): Promise<boolean>
}

/** Whether it stands still: stopped by a signal, or held by a debugger. */
export function isStopped(row: ProcessRow): boolean {
  return row.state === 'T' || row.state === 't'
}

/** Whether it waits in the kernel, where no signal but SIGKILL reaches it. */
export function isBlocked(row: ProcessRow): boolean {
  return row.state === 'D' || row.state === 'U'
}

/** Whether anything of it still runs; a zombie does not, unless only its first thread has ended. */
export function isAlive(row: ProcessRow): boolean {
  return row.state !== 'X' && (row.state !== 'Z' || row.threads > 1)
}

/** A line of /proc/PID/stat, or undefined if it is none. The name in it may hold blanks and parentheses. */
export function parseProcStat(text: string): ProcessRow | undefined {
  const nameEnd = text.lastIndexOf(')')
  const pid = Number(text.slice(0, text.indexOf(' ')))
  // From the third field of proc(5) on: state, ppid, pgrp, session, …, num_threads (20th), …, starttime (22nd).
  const fields = text.slice(nameEnd + 2).split(' ')
  const [state, parentPid, pgrp, session] = fields
  const startTime = fields[19]
  if (nameEnd < 0 || !Number.isSafeInteger(pid) || pid <= 0 || !state || !startTime) return undefined
  return {
    pid,
    parentPid: Number(parentPid),
    pgrp: Number(pgrp),
    session: Number(session),
    state,
    threads: Number(fields[17]),
    startTime,
  }
}

/** What `ps -o pid=,ppid=,pgid=,stat=,lstart=` prints; lines of another shape are left out. */
export function parsePs(text: string): readonly ProcessRow[] {
  const rows: ProcessRow[] = []
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+([A-Za-z])\S*\s+(\S.*?)\s*$/.exec(line)
    if (match === null) continue
    const [, pid, parentPid, pgrp, state = '', startTime = ''] = match
    rows.push({
      pid: Number(pid),
      parentPid: Number(parentPid),
      pgrp: Number(pgrp),
      state,
      threads: 1,
      startTime,
    })
  }
  return rows
}

/** The process table of `platform`; undefined where pid, start time and boot cannot be told apart (Windows). */
export function createProcessTable(platform: NodeJS.Platform): ProcessTable | undefined {
  if (platform === 'linux') return procTable
  return platform === 'win32' ? undefined : psTable
}

/** Reading one stat takes some 10 µs: after so many of them, sockets and timers get their turn. */
const STATS_PER_TURN = 128

const procTable: ProcessTable = {
  bootId: async () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  find: async (pid) => readStat(String(pid)),
  async list() {
    const rows: ProcessRow[] = []
    const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
    for (let i = 0; i < pids.length; i += STATS_PER_TURN) {
      if (i > 0) await new Promise<void>((resolve) => setImmediate(resolve))
      for (const pid of pids.slice(i, i + STATS_PER_TURN)) {
        const row = readStat(pid)
        if (row !== undefined) rows.push(row)
      }
    }
    return rows
  },
  async hasVariable(pid, variable, value) {
    const text = readProc(`/proc/${pid}/environ`)
    return text !== undefined && text.split('\0').includes(`${variable}=${value}`)
  },
}

function readStat(pid: string): ProcessRow | undefined {
  const text = readProc(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseProcStat(text)
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    // It has ended in the meantime, or is somebody else's. Anything else (no file descriptor left) is not an answer.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return undefined
    throw error
  }
}

const PS_COLUMNS = 'pid=,ppid=,pgid=,stat=,lstart='

const psTable: ProcessTable = {
  bootId: () => printed('sysctl', ['-n', 'kern.bootsessionuuid']),
  async find(pid) {
    // ps ends with status 1 when there is no such process.
    const text = await printed('ps', ['-o', PS_COLUMNS, '-p', String(pid)], [1])
    return parsePs(text).find((row) => row.pid === pid)
  },
  list: async () => parsePs(await printed('ps', ['-A', '-o', PS_COLUMNS])),
  async hasVariable(pid, variable, value) {
    const text = await printed('ps', ['-E', '-ww', '-o', 'command=', '-p', String(pid)], [1])
    return text.split(/\s/).includes(`${variable}=${value}`)
  },
}

/** Ten thousand processes with a line each, and one with a large environment. */
const PS_BYTES_MAX = 4_194_304

function printed(
  program: string,
  args: readonly string[],
  alsoStatuses: readonly number[] = [],
): Promise<string> {
  return new Promise((resolve, reject) => {
    // In the C locale and in UTC a start time always reads the same.
    const env = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C', TZ: 'UTC' }
    execFile(program, [...args], { env, maxBuffer: PS_BYTES_MAX }, (error, stdout) => {
      if (error === null || alsoStatuses.includes(Number(error.code))) resolve(stdout.trim())
      else reject(new Error(`${program} could not be run: ${error.message}`, { cause: error }))
    })
  })
}
