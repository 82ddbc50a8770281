/** Ten thousand agents that come back: after their hub was killed, and through a drain, a tenth of them originals. Controls go on meanwhile. */
import { arrivalSpread } from './arrivals.ts'
import type { Effort } from './codec.bench.ts'
import { figureOf, startLoad, type Load, type StepFigures } from './fleet/load.ts'
import { streamsHere } from './fleet/size.ts'
import { startOurs, type OurHub } from './fleet/subject.ts'
import type { Row, Target } from './report.ts'
import { spread } from './rounds.ts'

const AGENTS = 10_000
const QUICK_AGENTS = 500
/** Heard twice before anything happens, so that all know the window of the whole fleet. */
const HEARTBEAT_MS = 4_000
const SETTLE_S = 9
const CONTROLS_PER_S = 50
/** Half of what a hub accepts per second unless it is told otherwise (`ACCEPT_PER_S_DEFAULT`). */
const BACK_PER_S = 500
const WINDOW_S_MIN = 2
/** What the target allows beyond the window. */
const GRACE_S = 10
/** A step gives up then. */
const OUTAGE_S_MAX = 120

/** Seconds of one round. */
export const OUTAGE_ROUND_S = 60

export async function reconnectRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const agents = quick ? QUICK_AGENTS : streamsHere(AGENTS)
  const windowS = Math.max(WINDOW_S_MIN, agents / BACK_PER_S)
  const measured: { backS: number; ratio: number; wrong: number; longestS: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    await using hub = await startOurs({ streams: agents, heartbeatMs: HEARTBEAT_MS })
    await using load = await startFleet(hub, agents, agents)
    const outage = load.step(`outage ${OUTAGE_S_MAX} ${CONTROLS_PER_S}`)
    await hub.killAndRestart()
    const upWallMs = Date.now()
    const figures = await outage
    const arrived = arrivalSpread(timesOf(figures, 'arrivalsMs'), windowS * 1_000)
    measured.push({
      backS: (figureOf(figures, 'lossWallMs') + arrived.lastMs - upWallMs) / 1_000,
      ratio: arrived.peak / arrived.mean,
      wrong: wrongOf(figures, agents),
      longestS: figureOf(figures, 'longestMs') / 1_000,
    })
    console.error(`round ${round + 1} of ${rounds}: ${arrived.slots.join(' ')} a second`)
  }
  const row = rowMaker('reconnect', `${agents} agents after kill -9`)
  const rows = [
    row('the last is back, s after the hub', 's', column(measured, 'backS'), most(windowS + GRACE_S)),
    row('fullest second beside the mean', '×', column(measured, 'ratio'), most(2)),
    row('acknowledged controls lost, or decided twice', '', column(measured, 'wrong'), most(0)),
    row('an acknowledged control is applied after at most', 's', column(measured, 'longestS'), undefined),
  ]
  rows.forEach(onRow)
  return rows
}

export async function drainRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const agents = quick ? QUICK_AGENTS : streamsHere(AGENTS)
  const drainS = Math.max(WINDOW_S_MIN, agents / BACK_PER_S)
  const originalsFrom = Math.ceil(agents * 0.9)
  const measured: { ratio: number; originals: number; wrong: number; longestS: number }[] = []
  for (let round = 0; round < rounds; round += 1) {
    await using hub = await startOurs({ streams: agents, heartbeatMs: HEARTBEAT_MS, isHandedOver: true })
    await using load = await startFleet(hub, agents, originalsFrom)
    const outage = load.step(`outage ${OUTAGE_S_MAX} ${CONTROLS_PER_S}`)
    await hub.handOver(drainS * 1_000)
    const figures = await outage
    const ours = arrivalSpread(timesOf(figures, 'arrivalsMs'), drainS * 1_000)
    const originals = arrivalSpread(timesOf(figures, 'originalArrivalsMs'), drainS * 1_000)
    measured.push({
      ratio: ours.peak / ours.mean,
      originals: originals.peak / originals.mean,
      wrong: wrongOf(figures, agents),
      longestS: figureOf(figures, 'longestMs') / 1_000,
    })
    console.error(`round ${round + 1} of ${rounds}: ${ours.slots.join(' ')} a second`)
  }
  const row = rowMaker('drain', `${agents} agents through a drain of ${drainS} s`)
  const rows = [
    row('fullest second beside the mean, ours', '×', column(measured, 'ratio'), most(2)),
    row('fullest second beside the mean, originals', '×', column(measured, 'originals'), most(2)),
    row('acknowledged controls lost, or decided twice', '', column(measured, 'wrong'), most(0)),
    // Its stream may be the last to move; the second is for dialling and the sync.
    row(
      'a control issued meanwhile is applied after at most',
      's',
      column(measured, 'longestS'),
      most(drainS + 1),
    ),
  ]
  rows.forEach(onRow)
  return rows
}

async function startFleet(hub: OurHub, agents: number, originalsFrom: number): Promise<Load> {
  const load = startLoad([
    '--url',
    hub.url,
    '--streams',
    String(agents),
    '--agents',
    '--originals-from',
    String(originalsFrom),
    ...hub.loadArgs,
    '--publish-header',
    'Idempotency-Key: k{seq}',
    '--timeout',
    '120',
  ])
  try {
    await load.step(`connect ${agents}`)
    const settled = await load.step(`settle ${SETTLE_S}`)
    if (figureOf(settled, 'streams') !== agents) {
      throw new Error(
        `Of ${agents} agents ${figureOf(settled, 'streams')} stream. See what was refused above.`,
      )
    }
    return load
  } catch (error) {
    await load[Symbol.asyncDispose]()
    throw error
  }
}

function timesOf(figures: StepFigures, name: string): readonly number[] {
  return figures[name] as readonly number[]
}

/** Whatever must not be: a control open, one decided twice, or an agent away. */
function wrongOf(figures: StepFigures, agents: number): number {
  if (figureOf(figures, 'acknowledged') === 0)
    throw new Error('No control was acknowledged. Look at what was refused.')
  return (
    figureOf(figures, 'open') + figureOf(figures, 'decidedTwice') + (agents - figureOf(figures, 'streams'))
  )
}

function most(value: number): Target {
  return { is: 'at most', value }
}

function column<Name extends string>(
  rows: readonly Readonly<Record<Name, number>>[],
  name: Name,
): readonly number[] {
  return rows.map((figures) => figures[name])
}

function rowMaker(suite: string, about: string) {
  return (name: string, unit: string, values: readonly number[], target: Target | undefined): Row => ({
    suite,
    name: `${about}: ${name}`,
    unit,
    result: spread(values),
    target,
    figures: {},
  })
}
