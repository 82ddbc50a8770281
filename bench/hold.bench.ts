/** A fleet held for minutes: heartbeats, syncs at the hub's pace and controls, with what each minute cost. */
import type { FleetEffort } from './fleet/effort.ts'
import { figureOf, startLoad, type StepFigures } from './fleet/load.ts'
import { streamsHere } from './fleet/size.ts'
import { startOurs } from './fleet/subject.ts'
import type { Row } from './report.ts'
import { spread } from './rounds.ts'

const AGENTS = 19_000
const QUICK_AGENTS = 1_000
const MINUTES = 10
const HEARTBEAT_MS = 15_000
const CONTROLS_PER_S = 50
/** The first syncs, and what starting left behind. */
const SETTLE_S = 30
const QUICK_SETTLE_S = 3
const MINUTE_S = 60
const QUICK_MINUTE_S = 5

export const HOLD_AGENTS: number = AGENTS
export const HOLD_MINUTES: number = MINUTES

export async function holdRows(effort: FleetEffort, onRow: (row: Row) => void): Promise<Row[]> {
  const { quick } = effort
  const agents = quick ? QUICK_AGENTS : streamsHere(effort.agents ?? AGENTS)
  const minutes = quick ? 2 : (effort.minutes ?? MINUTES)
  await using hub = await startOurs({ streams: agents, heartbeatMs: HEARTBEAT_MS })
  await using load = startLoad([
    '--url',
    hub.url,
    '--streams',
    String(agents),
    '--agents',
    ...hub.loadArgs,
    '--timeout',
    '180',
    '--publish-path',
    '/api/v1/agents/a{i}/controls?wait=10s&until=applied',
    ...hub.pids.flatMap((pid) => ['--server', String(pid)]),
  ])
  const before = figureOf(await load.step('memory'), 'pssKib')
  await load.step(`connect ${agents}`)
  await load.step(`settle ${quick ? QUICK_SETTLE_S : SETTLE_S}`)
  const steps: StepFigures[] = []
  const minuteS = quick ? QUICK_MINUTE_S : MINUTE_S
  for (let minute = 1; minute <= minutes; minute += 1) {
    const step = await load.step(`hold ${minuteS} ${CONTROLS_PER_S}`)
    steps.push(step)
    console.error(minuteLine(minute, minutes, step))
  }
  const rows = rowsOf(agents, steps, before)
  rows.forEach(onRow)
  return rows
}

function minuteLine(minute: number, minutes: number, step: StepFigures): string {
  const figure = (name: string): number => figureOf(step, name)
  return [
    `minute ${minute} of ${minutes}:`,
    `${figure('streams')} streams,`,
    `applied ${figure('applied')}, p50 ${(figure('p50Us') / 1e3).toFixed(1)} ms, p99 ${(figure('p99Us') / 1e3).toFixed(1)} ms,`,
    `hub ${((figure('serverCpuS') / figure('wallS')) * 100).toFixed(1)} % of a core, ${(figure('pssKib') / 1_024).toFixed(1)} MiB,`,
    `${figure('syncs')} syncs, ${figure('syncFailures')} failed`,
  ].join(' ')
}

/** Each minute is one of the values that a spread is of. */
function rowsOf(agents: number, steps: readonly StepFigures[], beforeKib: number): Row[] {
  const of = (name: string): number[] => steps.map((step) => figureOf(step, name))
  const wrong = steps.map(
    (step) =>
      figureOf(step, 'unsettled') +
      figureOf(step, 'refused') +
      figureOf(step, 'decidedTwice') +
      figureOf(step, 'syncFailures') +
      (agents - figureOf(step, 'streams')),
  )
  const [firstKib = Number.NaN] = of('pssKib')
  const minute = (name: string, unit: string, values: readonly number[], target?: Row['target']): Row => ({
    suite: 'hold',
    name: `${agents} agents held, ${CONTROLS_PER_S} controls a second: ${name}`,
    unit,
    result: spread(values),
    target,
    figures: Object.fromEntries(values.map((value, index) => [`minute ${index + 1}`, spread([value])])),
  })
  return [
    minute('operator → applied → operator, p50 of a minute', 'ms', of('p50Us').map(toMs)),
    minute('operator → applied → operator, p99 of a minute', 'ms', of('p99Us').map(toMs)),
    minute(
      'CPU of the hub',
      '% of a core',
      steps.map((step) => (figureOf(step, 'serverCpuS') / figureOf(step, 'wallS')) * 100),
    ),
    minute(
      'syncs a second',
      '',
      steps.map((step) => figureOf(step, 'syncs') / figureOf(step, 'seconds')),
    ),
    minute(
      'memory of the hub beside the first minute',
      '×',
      of('pssKib').map((kib) => kib / firstKib),
    ),
    minute(
      'memory of the hub above its start',
      'MiB',
      of('pssKib').map((kib) => (kib - beforeKib) / 1_024),
    ),
    minute('unsettled, refused, decided twice, syncs failed, streams lost', '', wrong, {
      is: 'at most',
      value: 0,
    }),
  ]
}

function toMs(us: number): number {
  return us / 1e3
}
