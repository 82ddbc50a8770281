/** Signals to the processes of one task, each only after it is sure that they are still that task's. */
import type { ChildProcess } from 'node:child_process'
import {
  delay,
  DownlinkError,
  field,
  integerField,
  isJsonObject,
  limits,
  stringField,
} from '@downlink/protocol'
import type { Clock, Json } from '@downlink/protocol'
import { isAlive, isBlocked, isStopped } from './process-table.ts'
import type { ProcessRow, ProcessTable } from './process-table.ts'

const { PAUSE_MS_MAX } = limits

/** The environment variable that marks the processes of one run with `ProcessFacts.mark`. */
export const MARK_VARIABLE = 'DOWNLINK_RUN'

/** What names a process group for as long as the machine is up, and no other one. */
export interface ProcessFacts {
  /** Of the first process, and so of its group and session. */
  readonly pid: number
  readonly startTime: string
  readonly bootId: string
  /** Random; in the environment of every process of the run, it still tells them when the first one has gone. */
  readonly mark: string
}

/** The facts as the journal keeps them. */
export function factsToJson(facts: ProcessFacts): Json {
  const { pid, startTime, bootId, mark } = facts
  return { pid, startTime, bootId, mark }
}

const FACT_CHARS_MAX = 128

/** Facts from the journal, or undefined if they are none: then there is nothing that may be signalled. */
export function parseFacts(json: Json): ProcessFacts | undefined {
  if (!isJsonObject(json)) return undefined
  // Not 1 or below: kill(2) takes -1 for every process there is, and 0 for the caller's own group.
  const pid = integerField(json, 'pid', 2, 2 ** 31 - 1)
  const startTime = stringField(json, 'startTime', FACT_CHARS_MAX)
  const bootId = stringField(json, 'bootId', FACT_CHARS_MAX)
  if (pid === undefined || startTime === undefined || bootId === undefined) return undefined
  const mark = field(json, 'mark')
  return { pid, startTime, bootId, mark: typeof mark === 'string' ? mark : '' }
}

/** The processes of one task. */
export interface ProcessGroup {
  /** How many of its processes are left. */
  countAlive(): Promise<number>
  /**
   * Stops them, and resolves once every one is seen standing still, or none is left.
   * @throws DownlinkError `pause_failed` after `PAUSE_MS_MAX`, or as soon as `isWanted()` is false. In the first case
   * they have been continued, in the second the caller goes on.
   */
  stop(isWanted: () => boolean): Promise<void>
  /** Continues them; does nothing to those that run. */
  resume(): Promise<void>
  /**
   * Tells them to end, kills after `graceMs` what is left, and resolves when nothing is; never rejects.
   * `onTold` is called once they have been told, unless none was left.
   */
  end(graceMs: number, onTold?: () => void): Promise<void>
}

/** What {@link createProcessGroup} works with. */
export interface ProcessGroupOptions {
  readonly facts: ProcessFacts
  /** Whether the first process is this agent's own child, so that no stranger can have its pid before it is gone. */
  readonly isOwn: boolean
  readonly table: ProcessTable
  readonly clock: Clock
  /** @defaultValue `process.kill` */
  readonly kill?: (pid: number, signal: NodeJS.Signals) => void
}

const STEP_MS_MIN = 2
const STEP_MS_MAX = 100

/** The process group that began as `facts` say. */
export function createProcessGroup(options: ProcessGroupOptions): ProcessGroup {
  const { facts, clock } = options
  const kill = options.kill ?? ((pid: number, signal: NodeJS.Signals): void => void process.kill(pid, signal))
  const members = createMemberList(options)

  const send = (pid: number, name: NodeJS.Signals): void => {
    try {
      kill(pid, name)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // ESRCH: it ended in the meantime. EPERM: it has become another user's; then it is seen to live on.
      if (code !== 'ESRCH' && code !== 'EPERM') throw error
    }
  }
  const signal = (rows: readonly ProcessRow[], name: NodeJS.Signals): void => {
    for (const pgrp of new Set(rows.map((row) => row.pgrp))) send(-pgrp, name)
  }

  return {
    countAlive: async () => (await members()).length,
    async stop(isWanted) {
      const deadlineMs = clock.monotonicMs() + PAUSE_MS_MAX
      for (let stepMs = STEP_MS_MIN; ; stepMs = nextStepMs(stepMs)) {
        const rows = await members()
        if (!isWanted()) throw pauseFailed('A later resume or cancel came before the task stood still.')
        const running = rows.filter((row) => !isStopped(row))
        if (running.length === 0) return
        if (clock.monotonicMs() >= deadlineMs) {
          signal(rows, 'SIGCONT')
          throw pauseFailed(
            `${running.length} of ${rows.length} processes of the task did not stand still within ${PAUSE_MS_MAX} ms, so all go on; look with ps for one in state D, or cancel the task.`,
          )
        }
        const stoppedInVfork = rows.filter(
          (row) =>
            isStopped(row) && running.some((parent) => isBlocked(parent) && parent.pid === row.parentPid),
        )
        if (stoppedInVfork.length > 0) {
          // After vfork the parent waits in the kernel until the child executes its program: stopped before that, the
          // child would hold up the parent for ever. It gets a moment to go on.
          for (const child of stoppedInVfork) send(child.pid, 'SIGCONT')
          await delay(clock, STEP_MS_MIN)
        }
        // Again in every step: what has come by fork into a group of its own since is stopped too.
        signal([...running, ...stoppedInVfork], 'SIGSTOP')
        await delay(clock, stepMs)
      }
    },
    async resume() {
      signal(await members(), 'SIGCONT')
    },
    async end(graceMs, onTold) {
      let killAtMs = Number.POSITIVE_INFINITY
      for (let stepMs = STEP_MS_MIN; ; stepMs = nextStepMs(stepMs)) {
        try {
          const rows = await members()
          if (rows.length === 0) return
          if (killAtMs === Number.POSITIVE_INFINITY) {
            signal(rows, 'SIGTERM')
            // A process that stands still sees SIGTERM only when it goes on.
            signal(rows, 'SIGCONT')
            killAtMs = clock.monotonicMs() + graceMs
            onTold?.()
          } else if (clock.monotonicMs() >= killAtMs) signal(rows, 'SIGKILL')
        } catch {
          // The table cannot be read just now, or a signal not be sent (no file descriptor left, say). Whether anything
          // lives is then unknown, and unknown is not gone: look again.
        }
        await delay(clock, stepMs)
      }
    },
  }

  /** Returns a function that lists what lives of the group; once that is nothing, it stays so. */
  function createMemberList(given: ProcessGroupOptions): () => Promise<readonly ProcessRow[]> {
    let isGone = false
    let isKnown = given.isOwn
    let isThisBoot: boolean | undefined
    const look = async (): Promise<readonly ProcessRow[]> => {
      const rows = await given.table.list()
      const first = rows.find((row) => row.pid === facts.pid)
      if (first !== undefined && first.startTime !== facts.startTime) return []
      isKnown ||= first !== undefined
      const alive = rows.filter((row) => isAlive(row) && belongs(row, facts.pid))
      if (isKnown || alive.length === 0) return alive
      // The first process has gone while nobody looked, and its number may have been given to a daemon whose first
      // process has gone too. Only the mark tells the two apart.
      for (const row of alive) isKnown ||= await given.table.hasVariable(row.pid, MARK_VARIABLE, facts.mark)
      return isKnown ? alive : []
    }
    return async () => {
      isThisBoot ??= (await given.table.bootId()) === facts.bootId
      if (isGone || !isThisBoot) return []
      const rows = await look()
      if (rows.length > 0) return rows
      // A listing is no snapshot: a child forked behind its back by a process that then ended is missed, once.
      const again = await look()
      isGone = again.length === 0
      return again
    }
  }
}

/**
 * Whether the process is of the session that the first process opened. So a child that made a group of its own, as
 * `timeout` does, is stopped and ended with the rest. Without sessions (macOS) the group has to do.
 */
function belongs(row: ProcessRow, pid: number): boolean {
  return row.session === undefined ? row.pgrp === pid : row.session === pid
}

/** On Windows: the one process that was started, which can be ended but not paused. */
export function createSingleProcess(child: ChildProcess): ProcessGroup {
  const isAliveNow = (): boolean => child.exitCode === null && child.signalCode === null
  return {
    countAlive: async () => (isAliveNow() ? 1 : 0),
    stop: async () => {
      throw pauseFailed('Windows cannot pause a process, so the task goes on; cancel it instead.')
    },
    resume: async () => {},
    async end(_graceMs, onTold) {
      if (!isAliveNow()) return
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill()
      onTold?.()
      await exited
    },
  }
}

/** The error that a pause fails with. */
export function pauseFailed(message: string): DownlinkError {
  return new DownlinkError('pause_failed', message, { retry: 'never' })
}

function nextStepMs(stepMs: number): number {
  return Math.min(STEP_MS_MAX, stepMs * 2)
}
