/** `downlink pause | resume | cancel | control`: issues a control, and waits until it is observed if asked. */
import { controlReached, errorDetails, type OperatorClient } from '@downlink/client'
import {
  DownlinkError,
  HttpError,
  isJsonObject,
  limits,
  stringField,
  type ControlRecord,
  type Json,
  type StateVerb,
} from '@downlink/protocol'
import { Option, type Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { durationText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  durationArgument,
  jsonArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'
import { endedText, notYetText, observedText } from '../wording.ts'

interface ControlFlags extends OperatorFlags {
  /** `true` without a duration. */
  readonly wait?: number | true
  readonly ttl?: number
  readonly args?: string
}

type Run = (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>

const STATE_COMMANDS: Readonly<Record<StateVerb, { readonly summary: string; readonly example: string }>> = {
  pause: { summary: 'make a task stand still', example: 'pause local archive-1 --wait' },
  resume: { summary: 'let a paused task go on', example: 'resume local archive-1 --wait' },
  cancel: { summary: 'end a task', example: 'cancel local archive-1 --wait 30s' },
}

/** Adds the four commands. */
export function addControlCommands(program: Command, run: Run): void {
  for (const verb of ['pause', 'resume', 'cancel'] as const) {
    const { summary, example } = STATE_COMMANDS[verb]
    const command = program
      .command(verb)
      .summary(summary)
      .description(`${summary[0]?.toUpperCase() ?? ''}${summary.slice(1)}.`)
      .argument('<agent>', 'id of the agent')
      .argument('<task>', 'id of the task')
    withWaitOptions(command).action((agentId: string, taskId: string, flags: ControlFlags) =>
      run((context) => control(context, { agentId, taskId, verb }, flags)),
    )
    withExample(command, example)
  }
  const command = program
    .command('control')
    .summary('send any verb to a task')
    .description('Send a verb to a task, such as one of your own.')
    .argument('<agent>', 'id of the agent')
    .argument('<task>', 'id of the task')
    .argument('<verb>', 'what the task shall do')
  withWaitOptions(command)
    .option('--args <json>', 'arguments of the verb; - reads standard input')
    .action((agentId: string, taskId: string, verb: string, flags: ControlFlags) =>
      run((context) => control(context, { agentId, taskId, verb }, flags)),
    )
  withExample(command, `control local hash-1 set-speed --args '{"perSecond":10}'`)
}

function withWaitOptions(command: Command): Command {
  return withOperatorOptions(command)
    .addOption(
      new Option(
        '--wait [duration]',
        `wait until the task shows it, ${durationText(limits.CLIENT_WAIT_MS_DEFAULT)} unless told; stands last, or as --wait=10s`,
      ).argParser(durationArgument),
    )
    .option('--ttl <duration>', 'forget the control if the agent has not taken it by then', durationArgument)
}

interface Target {
  readonly agentId: string
  readonly taskId: string
  readonly verb: string
}

async function control(context: CommandContext, target: Target, flags: ControlFlags): Promise<ExitCode> {
  const args = flags.args === undefined ? undefined : await jsonArgument(context, '--args', flags.args)
  const { clock, output } = context
  const timeoutMs = typeof flags.wait === 'number' ? flags.wait : limits.CLIENT_WAIT_MS_DEFAULT
  const until = flags.wait === undefined ? 'accepted' : 'observed'
  return withClient(context, flags, async (client) => {
    const startedMs = clock.monotonicMs()
    const options = { until, timeoutMs, ...(flags.ttl === undefined ? {} : { ttlMs: flags.ttl }) } as const
    const issued = await issueOrFollow(client, target, args, options)
    const tookMs = clock.monotonicMs() - startedMs
    const { record } = issued
    if (flags.json === true) output.json(record)
    else if (issued.isFollowed) {
      output.problem(`A cancel of ${target.taskId} was under way already: ${record.controlId}.`)
    }
    switch (controlReached(record, until)) {
      case 'yes':
        if (flags.json !== true) output.line(doneText(record, until, tookMs))
        return EXIT.done
      case 'not-yet':
        if (flags.json !== true) output.problem(notYetText(record, tookMs))
        return EXIT.notYet
      case 'never':
        if (flags.json !== true) output.problem(endedText(record))
        return record.unconfirmed === true ? EXIT.notYet : EXIT.failed
    }
  })
}

/** Issues the control. A cancel that meets an open one follows that: its caller wants the end, not a control of its own. */
async function issueOrFollow(
  client: OperatorClient,
  { agentId, taskId, verb }: Target,
  args: Json | undefined,
  options: { readonly until: 'accepted' | 'observed'; readonly timeoutMs: number; readonly ttlMs?: number },
): Promise<{ readonly record: ControlRecord; readonly isFollowed: boolean }> {
  try {
    return { record: await client.task(agentId, taskId).control(verb, args, options), isFollowed: false }
  } catch (error) {
    const open = verb === 'cancel' ? openCancelOf(error) : undefined
    if (open === undefined) throw error
    const { until, timeoutMs } = options
    return { record: await client.control(open, { until, timeoutMs }), isFollowed: true }
  }
}

function openCancelOf(error: unknown): string | undefined {
  if (!(error instanceof DownlinkError) || error.code !== 'task_cancelling') return undefined
  const details = error instanceof HttpError ? errorDetails(error) : undefined
  return isJsonObject(details) ? stringField(details, 'controlId', 2 * limits.ID_CHARS_MAX) : undefined
}

function doneText(record: ControlRecord, until: 'accepted' | 'observed', tookMs: number): string {
  const { action, taskId, agentId, controlId } = record
  return until === 'accepted'
    ? `Accepted: ${action} of ${taskId} on ${agentId} (control ${controlId}). With --wait you see when it has taken effect.`
    : `${taskId} on ${agentId} ${observedText(action)}; known ${durationText(tookMs)} after the request.`
}
