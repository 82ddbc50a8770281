/** The tour that `downlink up` runs by itself: one sample task is started, paused, resumed and cancelled, and ps is asked. */
import { controlReached, type OperatorClient } from '@downlink/client'
import { delay, type Clock, type StateVerb } from '@downlink/protocol'
import { durationText } from './duration.ts'
import type { Output } from './output.ts'
import { findGroup, listGroup } from './process-listing.ts'
import { freeTaskId, tasksByAgent } from './sample-tasks.ts'
import { samplePath } from './task-config.ts'
import { endedText, isFinished, notYetText } from './wording.ts'

/** What the tour needs. */
export interface TourOptions {
  readonly client: OperatorClient
  readonly agentId: string
  readonly output: Output
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Time that one step may take, ms; on a healthy machine none takes a tenth of a second. */
const STEP_MS_MAX = 15_000
/** Time between two looks at whether the task runs, ms. */
const LOOK_MS = 25

const STEPS: readonly { readonly verb: StateVerb; readonly text: string }[] = [
  { verb: 'pause', text: 'paused' },
  { verb: 'resume', text: 'running' },
  { verb: 'cancel', text: 'cancelled' },
]

/** Runs the tour, one line a step. Resolves with whether every step was observed. */
export async function runTour(options: TourOptions): Promise<boolean> {
  const { client, agentId, output, clock, signal } = options
  const taskId = freeTaskId(await tasksByAgent(client, agentId, signal), 'counter')
  output.line(`Tour: ${taskId}, a sample that counts, is started, paused, resumed and cancelled.`)
  const startedMs = clock.monotonicMs()
  const task = await client.start(agentId, 'counter', { steps: 3_000 }, { taskId, signal })
  const group = await untilRunning(options, taskId)
  if (group === undefined) return false
  await tellStep(options, 'start', 'running', clock.monotonicMs() - startedMs, group.pid)
  for (const { verb, text } of STEPS) {
    const askedMs = clock.monotonicMs()
    const record = await task[verb]({ until: 'observed', timeoutMs: STEP_MS_MAX, signal })
    const tookMs = clock.monotonicMs() - askedMs
    const reached = controlReached(record, 'observed')
    if (reached !== 'yes') {
      output.problem(reached === 'never' ? endedText(record) : notYetText(record, tookMs))
      if (verb !== 'cancel') await task.cancel({ signal })
      return false
    }
    await tellStep(options, verb, text, tookMs, group.pid)
  }
  return true
}

/** Resolves with the task's process group once the hub shows it running; undefined if that does not come. */
async function untilRunning(
  options: TourOptions,
  taskId: string,
): Promise<{ readonly pid: number | undefined } | undefined> {
  const { client, agentId, output, clock, signal } = options
  const deadlineMs = clock.monotonicMs() + STEP_MS_MAX
  while (clock.monotonicMs() < deadlineMs) {
    const task = (await tasksByAgent(client, agentId, signal)).find((other) => other.taskId === taskId)
    if (task?.state === 'running') return { pid: await findGroup(samplePath('counter.sh')) }
    if (task !== undefined && isFinished(task.state)) {
      output.problem(`The tour ends here: ${taskId} is ${task.state}. ${task.errorMessage ?? ''}`.trim())
      return undefined
    }
    await delay(clock, LOOK_MS, signal)
  }
  output.problem(
    `The tour ends here: after ${durationText(STEP_MS_MAX)} ${taskId} does not run yet. See: downlink tasks ${agentId}`,
  )
  return undefined
}

async function tellStep(
  { output }: TourOptions,
  step: string,
  state: string,
  tookMs: number,
  group: number | undefined,
): Promise<void> {
  const measured = `  ${step.padEnd(6)}  ${state.padEnd(9)}  after ${durationText(tookMs).padEnd(7)}`
  output.line(`${measured} ${await psText(group)}`.trimEnd())
}

async function psText(group: number | undefined): Promise<string> {
  const processes = group === undefined ? undefined : await listGroup(group)
  if (group === undefined || processes === undefined) return ' (no ps here to ask)'
  const shown = processes.map(({ pid, stat, command }) => `${pid} ${stat} ${command}`)
  return ` ps of group ${group}: ${shown.length === 0 ? 'nothing left' : shown.join(', ')}`
}
