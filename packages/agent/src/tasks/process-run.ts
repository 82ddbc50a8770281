/** One run of a task as a process group: from its start, through pause and resume, to the end of its last process. */
import { randomUUID } from 'node:crypto'
import { DownlinkError } from '@downlink/protocol'
import type { Clock, Json } from '@downlink/protocol'
import type { TaskEnd, TaskRun, TaskStart } from './executor.ts'
import {
  createProcessGroup,
  createSingleProcess,
  factsToJson,
  MARK_VARIABLE,
  pauseFailed,
} from './process-group.ts'
import type { ProcessGroup } from './process-group.ts'
import { spawnHeld } from './process-spawn.ts'
import type { HeldProcess, ProcessExit, SpawnOptions } from './process-spawn.ts'
import type { ProcessTable } from './process-table.ts'
import { readTaskOutput } from './process-task-output.ts'

/** What every run of an executor shares. */
export interface RunSettings extends SpawnOptions {
  readonly clock: Clock
  /** Undefined on Windows. */
  readonly table: ProcessTable | undefined
  readonly graceMs: number
}

/** A process that was started, and the signals to its group. */
interface Started {
  readonly held: HeldProcess
  readonly group: ProcessGroup
  readonly facts: Json
}

/** Starts `argv` for `task`. */
export function startRun(task: TaskStart, argv: readonly string[], settings: RunSettings): TaskRun {
  return new ProcessRun(task, argv, settings)
}

/**
 * ```
 * started, held ──► facts kept ──► released ──► first process exits ──► rest of the group ended ──► ended
 *      └── cancel, shutdown: told to end ───────────────┘
 * ```
 */
class ProcessRun implements TaskRun {
  readonly ended: Promise<TaskEnd>
  readonly #task: TaskStart
  readonly #settings: RunSettings
  readonly #starting: Promise<Started>
  /** What was asked for last; work that is under way gives up when it is no longer its own aim. */
  #wanted: 'running' | 'paused' | 'ended'
  #endAs: 'cancelled' | 'interrupted' = 'interrupted'
  /** Set when the run is ended because of itself. */
  #failure: TaskEnd | undefined
  #isReleased = false
  #isOver = false
  readonly #told: PromiseWithResolvers<void> = Promise.withResolvers()
  #isTold = false
  #telling: Promise<void> | undefined
  #groupEnd: Promise<void> | undefined
  #lastTurn: Promise<unknown> = Promise.resolve()

  constructor(task: TaskStart, argv: readonly string[], settings: RunSettings) {
    this.#task = task
    this.#settings = settings
    this.#wanted = task.paused ? 'paused' : 'running'
    this.#starting = this.#inTurn(() => startHeld(argv, settings))
    this.ended = this.#live().then((end) => {
      this.#isOver = true
      return end
    })
  }

  async pause(): Promise<void> {
    if (this.#isOver) return
    if (this.#wanted === 'ended') throw pauseFailed('The task is being ended, so it does not pause.')
    this.#wanted = 'paused'
    try {
      await this.#inTurn(async () => this.#stop((await this.#starting).group))
    } catch (error) {
      if (this.#isOver) return
      if (this.#wanted === 'paused') this.#wanted = 'running'
      throw error instanceof DownlinkError
        ? error
        : pauseFailed(`The task was not stopped. ${reasonOf(error)}`)
    }
  }

  async resume(): Promise<void> {
    if (this.#isOver || this.#wanted === 'ended') return
    this.#wanted = 'running'
    try {
      await this.#inTurn(async () => {
        const { group } = await this.#starting
        if (this.#wanted === 'running') await group.resume()
      })
    } catch (error) {
      throw new DownlinkError('resume_failed', `The task was not continued. ${reasonOf(error)}`, {
        cause: error,
      })
    }
  }

  async cancel(): Promise<void> {
    // Also over a shutdown that is under way: an intended cancel must not start again with the agent.
    this.#endAs = 'cancelled'
    await this.#tell()
  }

  async shutdown(): Promise<void> {
    await this.#tell()
    await this.ended
  }

  async applyVerb(action: string): Promise<void> {
    throw new DownlinkError(
      'unsupported',
      `The task is a process and has no verb "${action}"; it can be paused, resumed and cancelled.`,
      { retry: 'never' },
    )
  }

  /** Runs one after the other what sends signals, so that no late SIGSTOP follows a SIGCONT. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#lastTurn.then(act)
    this.#lastTurn = turn.catch(() => {})
    return turn
  }

  #stop(group: ProcessGroup): Promise<void> {
    return group.stop(() => this.#wanted === 'paused')
  }

  async #live(): Promise<TaskEnd> {
    let started: Started
    try {
      started = await this.#starting
    } catch (error) {
      return { status: 'failed', code: 'start_failed', message: startFailure(error, this.#settings.cwd) }
    }
    const { held, group } = started
    const output = readTaskOutput(held, this.#settings.clock, this.#task)
    void this.#letGo(started)
    const exit = await held.exited
    // What was told to end has been cancelled, whatever status it makes of that; what exits by itself has its own end.
    const wasTold = this.#isTold
    this.#wanted = 'ended'
    if (!wasTold) await this.#mentionLeftovers(group)
    await this.#endGroup(group)
    await output.drain()
    if (this.#failure !== undefined) return this.#failure
    // Before its release the closed gate may have ended it, sooner than the signal did.
    const wasEnded = wasTold || (!this.#isReleased && this.#telling !== undefined)
    return wasEnded ? { status: this.#endAs } : endOf(exit, output.result())
  }

  /** Lets the command run once its facts are kept; if it is to start paused, it stands still before. */
  async #letGo({ held, group, facts }: Started): Promise<void> {
    try {
      await this.#task.reporter.keepFacts(facts)
    } catch (error) {
      this.#fail('start_failed', 'What names the process was not kept, so its command did not run.', error)
      return
    }
    await this.#inTurn(async () => {
      if (this.#wanted === 'paused')
        try {
          await this.#stop(group)
        } catch (error) {
          if (this.#wanted === 'paused')
            this.#fail('pause_failed', 'The task was to start paused, so its command did not run.', error)
        }
      // By now it may have been told to end.
      if (this.#telling !== undefined) return
      this.#isReleased = true
      // With a line end, so that the `read` of a shell succeeds.
      held.release(`${JSON.stringify(this.#task.input)}\n`)
    })
  }

  #fail(code: string, what: string, cause: unknown): void {
    if (this.#telling !== undefined) return
    this.#failure = { status: 'failed', code, message: `${what} ${reasonOf(cause)}` }
    void this.#tell()
  }

  /** Tells the group to end and sees to it that it does; resolves once it has been told, or is gone. */
  #tell(): Promise<void> {
    this.#wanted = 'ended'
    this.#telling ??= this.#inTurn(async () => {
      const { held, group } = await this.#starting
      held.abandon()
      void this.#endGroup(group)
      await this.#told.promise
    }).catch(() => {
      // A start that failed leaves nothing to tell; `ended` says why it failed.
    })
    return this.#telling
  }

  #endGroup(group: ProcessGroup): Promise<void> {
    this.#groupEnd ??= group
      .end(this.#settings.graceMs, () => {
        this.#isTold = true
        this.#told.resolve()
      })
      .finally(() => this.#told.resolve())
    return this.#groupEnd
  }

  async #mentionLeftovers(group: ProcessGroup): Promise<void> {
    const count = await group.countAlive().catch(() => 0)
    if (count > 0)
      this.#task.reporter.log(
        `downlink: the command has ended and left ${count} of its processes running; they are being ended.`,
      )
  }
}

async function startHeld(argv: readonly string[], settings: RunSettings): Promise<Started> {
  const { table, clock } = settings
  const mark = randomUUID()
  const held = await spawnHeld(argv, { ...settings, env: { ...settings.env, [MARK_VARIABLE]: mark } })
  const { child, pid } = held
  if (table === undefined) return { held, group: createSingleProcess(child), facts: { pid } }
  try {
    const startTime = (await table.find(pid))?.startTime
    if (startTime === undefined) throw new Error('The process ended before it was let go.')
    const facts = { pid, startTime, bootId: await table.bootId(), mark }
    const group = createProcessGroup({ facts, isOwn: true, table, clock })
    return { held, group, facts: factsToJson(facts) }
  } catch (error) {
    // Nothing is known of it but that it is our own child and holds still, so it can be killed without asking.
    held.abandon()
    child.kill('SIGKILL')
    throw error
  }
}

/** How a command that nobody told to end has ended. */
function endOf({ status, signal }: ProcessExit, result: Json | undefined): TaskEnd {
  if (status === 0) return { status: 'completed', result: result ?? { exitCode: 0 } }
  if (status === null)
    return {
      status: 'failed',
      code: 'killed_by_signal',
      message: `The command was killed by ${signal ?? 'a signal'}, which did not come from this agent.`,
    }
  const hint =
    status === 127
      ? ': the program was not found; correct the command that is configured'
      : status === 126
        ? ': the program may not be executed; correct its mode or the command that is configured'
        : '; its log says more'
  return { status: 'failed', code: 'exit_status', message: `The command ended with status ${status}${hint}.` }
}

function startFailure(error: unknown, cwd: string | undefined): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' && cwd !== undefined)
    return `The command could not be started: the folder ${cwd} or the program does not exist; correct the configuration.`
  return `The command could not be started. ${reasonOf(error)}`
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
