/** Runs tasks of one kind as a command of the agent's own configuration, each in a process group of its own. */
import { DownlinkError, limits } from '@downlink/protocol'
import type { Clock, Json } from '@downlink/protocol'
import type { TaskExecutor, TaskRun } from './executor.ts'
import type { OnRestart } from './task.ts'
import { compileCommand, taskEnvironment } from './process-command.ts'
import { createProcessGroup, parseFacts } from './process-group.ts'
import { startRun } from './process-run.ts'
import type { RunSettings } from './process-run.ts'
import { createProcessTable } from './process-table.ts'
import { timeLimitOf } from './time-limit.ts'

const { TERMINATE_GRACE_MS } = limits

/** A kind of task that is a command. */
export interface ProcessTaskOptions {
  /**
   * The program and its arguments; never read by a shell. An argument that is exactly `{name}` stands for the member
   * `name` of a task's input.
   */
  readonly command: readonly string[]
  /** @defaultValue the agent's own folder */
  readonly cwd?: string
  /**
   * Added to what a task inherits of the agent's environment: PATH, HOME, LANG, LC_*, TZ, TMPDIR.
   * @defaultValue nothing
   */
  readonly env?: Readonly<Record<string, string>>
  /** Per placeholder the regular expression that its whole value must match; a value never begins with `-`. */
  readonly placeholders?: Readonly<Record<string, string>>
  /** From SIGTERM to SIGKILL, ms. @defaultValue `TERMINATE_GRACE_MS` */
  readonly graceMs?: number
  /** Longest that a task may run, its pauses not counted, ms; then it is ended as `failed: timed_out`. @defaultValue no limit */
  readonly timeLimitMs?: number
  /** What becomes of a task that ran when the agent stopped: it runs anew, or fails as `interrupted`. @defaultValue `restart` */
  readonly onRestart?: OnRestart
  /** @defaultValue that of this machine */
  readonly platform?: NodeJS.Platform
}

/**
 * Returns what runs tasks of one kind as processes. A task reads its input as JSON from standard input. Its output is its
 * log, but for two kinds of lines on standard output: `::progress 0.42 some message`, and `::result {"any":"json"}`,
 * the last of which is the result if the command ends with status 0.
 *
 * Pause stops the whole session of processes (SIGSTOP), resume continues it, cancel and shutdown end it: SIGTERM, after
 * `graceMs` SIGKILL. A process that opens a session of its own has left the task. Standard input and output are
 * sockets, so a command cannot open /dev/stdin or /dev/stderr by name.
 * @throws DownlinkError `bad_config` if the command or a placeholder cannot be used.
 */
export function createProcessExecutor(options: ProcessTaskOptions & { readonly clock: Clock }): TaskExecutor {
  const { clock, cwd, env = {}, graceMs = TERMINATE_GRACE_MS, platform = process.platform } = options
  const argvFor = compileCommand(options.command, options.placeholders)
  const table = createProcessTable(platform)
  const settings: RunSettings = {
    ...(cwd === undefined ? {} : { cwd }),
    env: taskEnvironment(process.env, env, platform),
    platform,
    clock,
    table,
    graceMs,
  }
  return {
    ...timeLimitOf(options),
    onRestart: options.onRestart ?? 'restart',
    deliveryOf: () => undefined,
    start(task) {
      let argv: readonly string[]
      try {
        argv = argvFor(task.input)
      } catch (error) {
        if (error instanceof DownlinkError) return failedRun(error)
        throw error
      }
      return startRun(task, argv, settings)
    },
    async reap(json: Json) {
      const facts = parseFacts(json)
      if (facts === undefined || table === undefined) return
      await createProcessGroup({ facts, isOwn: false, table, clock }).end(graceMs)
    },
  }
}

/** A task that nothing was started for. */
function failedRun({ code, message }: DownlinkError): TaskRun {
  const nothing = async (): Promise<void> => {}
  return {
    ended: Promise.resolve({ status: 'failed', code, message }),
    pause: nothing,
    resume: nothing,
    cancel: nothing,
    shutdown: nothing,
    async applyVerb() {
      throw new DownlinkError(
        'already_finished',
        'The task was never started, since its input was refused.',
        {
          retry: 'never',
        },
      )
    },
  }
}
