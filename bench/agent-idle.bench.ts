/** An agent that idles on a stream, beside an empty Node process of the same version: CPU and memory, from /proc. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pass } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startChild, type Child } from './child.ts'
import type { Effort } from './codec.bench.ts'
import type { Row } from './report.ts'
import { spread, spreadOf, type Round, type Spread } from './rounds.ts'

/** Four heartbeats and a sync or more; what starting costs is over by then. */
const WINDOW_MS = 60_000
const WINDOW_QUICK_MS = 3_000
/** After `ready`: code that runs once is compiled, and collected. */
const SETTLE_MS = 5_000
const SETTLE_QUICK_MS = 500

const SUBJECTS = ['empty', 'agent'] as const
type Subject = (typeof SUBJECTS)[number]

interface Figures {
  readonly cpuPercent: number
  readonly pssMiB: number
  readonly peakMiB: number
}

export async function agentIdleRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  if (process.platform !== 'linux') throw new Error('The idle bench reads /proc; run it on Linux.')
  await using hub = startChild('agent-idle-hub.ts')
  const measured: Readonly<Record<Subject, Figures>>[] = []
  for (let round = 0; round < rounds; round += 1) measured.push(await measureRound(hub, quick))
  const row = (
    name: string,
    unit: string,
    field: keyof Figures,
    reach: number | undefined,
    isDifference: boolean,
  ): Row => {
    const figures = measured.map(({ agent, empty }): Round<Subject> => ({
      agent: agent[field],
      empty: empty[field],
    }))
    const result: Spread = spread(figures.map(({ agent, empty }) => (isDifference ? agent - empty : agent)))
    return {
      suite: 'agent',
      name,
      unit,
      result,
      target: reach === undefined ? undefined : { is: 'at most', value: reach },
      figures: Object.fromEntries(SUBJECTS.map((subject) => [subject, spreadOf(figures, subject)])),
    }
  }
  const rows = [
    row(
      `idle on a stream, CPU over ${(quick ? WINDOW_QUICK_MS : WINDOW_MS) / 1_000} s`,
      '% of a core',
      'cpuPercent',
      1,
      false,
    ),
    row('idle on a stream, PSS above an empty Node', 'MiB', 'pssMiB', 15, true),
    row('idle on a stream, peak (VmHWM) above an empty Node', 'MiB', 'peakMiB', undefined, true),
  ]
  rows.forEach(onRow)
  return rows
}

/** Both at the same time, so that whatever else the machine does meets both. */
async function measureRound(hub: Child, quick: boolean): Promise<Readonly<Record<Subject, Figures>>> {
  const { url, key } = (await hub.ask({})) as { url: string; key: string }
  const empty = start(['empty'])
  const agent = start(['agent', url, key])
  try {
    await Promise.all([ready(empty), ready(agent)])
    await pass(quick ? SETTLE_QUICK_MS : SETTLE_MS)
    const windowMs = quick ? WINDOW_QUICK_MS : WINDOW_MS
    const before = { empty: cpuNs(empty), agent: cpuNs(agent) }
    await pass(windowMs)
    const of = (child: ChildProcess, beforeNs: number): Figures => ({
      cpuPercent: ((cpuNs(child) - beforeNs) / 1e6 / windowMs) * 100,
      pssMiB: kilobytes(child, 'smaps_rollup', 'Pss') / 1_024,
      peakMiB: kilobytes(child, 'status', 'VmHWM') / 1_024,
    })
    return { empty: of(empty, before.empty), agent: of(agent, before.agent) }
  } finally {
    for (const child of [empty, agent]) child.kill('SIGKILL')
    for (const child of [empty, agent]) {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
  }
}

/** Runs what was built, as an adopter's process does: types that are stripped at run time would weigh on it. */
function start(args: readonly string[]): ChildProcess {
  const file = fileURLToPath(new URL('agent-idle-subject.js', import.meta.url))
  return spawn(process.execPath, [file, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

async function ready(child: ChildProcess): Promise<void> {
  if (child.stdout === null) throw new Error('The process has no output.')
  for await (const chunk of child.stdout) if (String(chunk).includes('ready')) return
  throw new Error(
    'A process of the idle bench ended before it was ready. Its error is above; run npm run build.',
  )
}

/** Of all its threads, ns. */
function cpuNs({ pid }: ChildProcess): number {
  const tasks = readdirSync(`/proc/${pid}/task`)
  return tasks.reduce((sum, task) => {
    const [ranNs = '0'] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')
    return sum + Number(ranNs)
  }, 0)
}

function kilobytes({ pid }: ChildProcess, file: string, field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/${file}`, 'utf8'))
  if (line === null) throw new Error(`/proc/${pid}/${file} has no ${field}.`)
  return Number(line[1])
}
