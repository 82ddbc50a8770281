/** `downlink logs`: shows what a task wrote last, and what it goes on to write. */
import type { OperatorClient, TaskLog } from '@downlink/client'
import { delay, type TaskState } from '@downlink/protocol'
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { withClient, withExample, withOperatorOptions, type OperatorFlags } from '../operator-command.ts'
import { isFinished } from '../wording.ts'

interface LogsFlags extends OperatorFlags {
  readonly follow?: boolean
}

/** Time between two looks of `--follow`, ms: lines reach the hub with the agent's syncs, every 3 s when somebody looks. */
const FOLLOW_MS = 1_000

/** Adds the command. */
export function addLogsCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('logs')
    .summary("show a task's last lines")
    .description("Show a task's last lines. With --follow the exit code is 1 if the task fails.")
    .argument('<agent>', 'id of the agent')
    .argument('<task>', 'id of the task')
  withOperatorOptions(command)
    .option('--follow', 'go on until the task has ended')
    .action((agentId: string, taskId: string, flags: LogsFlags) =>
      run((context) => showLog(context, agentId, taskId, flags)),
    )
  withExample(command, 'logs local hash-1')
}

async function showLog(
  context: CommandContext,
  agentId: string,
  taskId: string,
  flags: LogsFlags,
): Promise<ExitCode> {
  return withClient(context, flags, async (client) => {
    let nextLine = showNewLines(context, await client.task(agentId, taskId).log(), 0, flags)
    if (flags.follow !== true) return EXIT.done
    const signal = context.stopSignal()
    try {
      for (;;) {
        // The state first: what a task wrote before its end is then in the log that is read after it.
        const state = await stateOf(client, agentId, taskId, signal)
        const log = await client.task(agentId, taskId).log({ signal })
        nextLine = showNewLines(context, log, nextLine, flags)
        if (state === undefined || isFinished(state)) {
          if (flags.json !== true) context.output.problem(`${taskId}: ${state ?? 'no longer known'}.`)
          return state === 'failed' ? EXIT.failed : EXIT.done
        }
        await delay(context.clock, FOLLOW_MS, signal)
      }
    } catch (error) {
      if (signal.aborted) return EXIT.done
      throw error
    }
  })
}

/** Shows the lines from `nextLine` on and returns the number of the line after the last one. */
function showNewLines(context: CommandContext, log: TaskLog, nextLine: number, flags: LogsFlags): number {
  const { output } = context
  // A count that went back is that of a task that started anew.
  const from = log.nextLine < nextLine ? log.firstLine : Math.max(nextLine, log.firstLine)
  if (from > nextLine && nextLine > 0 && flags.json !== true) {
    output.problem(`${from - nextLine} lines were not kept.`)
  }
  for (const [at, text] of log.lines.entries()) {
    const line = log.firstLine + at
    if (line < from) continue
    if (flags.json === true) output.json({ line, text })
    else output.line(text)
  }
  return log.nextLine
}

async function stateOf(
  client: OperatorClient,
  agentId: string,
  taskId: string,
  signal: AbortSignal,
): Promise<TaskState | undefined> {
  for await (const task of client.tasks(agentId, { signal })) if (task.taskId === taskId) return task.state
  return undefined
}
