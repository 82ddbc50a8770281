/** `downlink tasks`: lists tasks and where they stand. */
import type { OperatorClient } from '@downlink/client'
import type { TaskRecord } from '@downlink/protocol'
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { agoText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { withClient, withExample, withOperatorOptions, type OperatorFlags } from '../operator-command.ts'
import type { Cell } from '../output.ts'
import { taskStateCell } from '../wording.ts'

/** Adds the command. */
export function addTasksCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('tasks')
    .summary('list the tasks')
    .description('List the tasks of one agent, or of all of them.')
    .argument('[agent]', 'id of an agent')
  withOperatorOptions(command).action((agentId: string | undefined, flags: OperatorFlags) =>
    run((context) => listTasks(context, agentId, flags)),
  )
  withExample(command, 'tasks local')
}

/** Every task of `agentId`, or of every agent. */
export async function* tasksOf(
  client: OperatorClient,
  agentId: string | undefined,
  signal?: AbortSignal,
): AsyncGenerator<TaskRecord> {
  const options = signal === undefined ? {} : { signal }
  if (agentId !== undefined) {
    for await (const task of client.tasks(agentId, options)) yield { ...task, agentId }
    return
  }
  for await (const agent of client.agents(options)) yield* tasksOf(client, agent.agentId, signal)
}

async function listTasks(
  context: CommandContext,
  agentId: string | undefined,
  flags: OperatorFlags,
): Promise<ExitCode> {
  const { output, clock } = context
  return withClient(context, flags, async (client) => {
    const rows: (readonly Cell[])[] = []
    for await (const task of tasksOf(client, agentId)) {
      if (flags.json === true) output.json(task)
      else rows.push(rowOf(task, clock.wallMs()))
    }
    if (flags.json === true) return EXIT.done
    if (rows.length === 0) output.line('No task yet. Start one with: downlink run AGENT KIND')
    else output.table(['AGENT', 'TASK', 'KIND', 'STATE', 'DONE', 'SINCE', 'MESSAGE'], rows)
    return EXIT.done
  })
}

function rowOf(task: TaskRecord, wallMs: number): readonly Cell[] {
  return [
    task.agentId,
    task.taskId,
    task.kind ?? '-',
    taskStateCell(task.state, task.diverged === true),
    task.progress === undefined ? '-' : `${Math.floor(task.progress * 100)} %`,
    agoText(task.changedAt, wallMs),
    task.unresponsive === true
      ? 'was told to end and still runs: it ignores the cancel'
      : (task.errorMessage ?? task.message ?? ''),
  ]
}
