/** The suites of the bench: what each measures, how long it takes, and what it needs. */
import { agentIdleRows } from './agent-idle.bench.ts'
import { clientRows } from './client.bench.ts'
import { codecMemoryRows } from './codec-memory.bench.ts'
import { codecRows } from './codec.bench.ts'
import type { FleetEffort } from './fleet/effort.ts'
import { buildLoad } from './fleet/load-build.ts'
import { HOLD_MINUTES, holdRows } from './hold.bench.ts'
import { HUB_ROUND_S, hubRows } from './hub.bench.ts'
import { drainRows, OUTAGE_ROUND_S, reconnectRows } from './outage.bench.ts'
import type { Row } from './report.ts'
import { SCALE_ROUND_S, scaleRows } from './scale.bench.ts'
import { SLOW_ROUND_S, slowRows } from './slow.bench.ts'
import { TLS_ROUND_S, tlsMissing, tlsRows } from './tls.bench.ts'
import { WHOLE_ROUND_S, wholeRows } from './whole.bench.ts'

/** A part of the bench that is run by itself. */
export interface Suite {
  readonly title: string
  /** How long it takes, s, on a machine that does nothing else. */
  readonly seconds: (effort: FleetEffort) => number
  /** Rows that it prints; so many are counted as skipped where it cannot run. */
  readonly rowCount: number
  /** Why it cannot run here, or undefined. */
  readonly missing: () => string | undefined
  readonly rows: (effort: FleetEffort, onRow: (row: Row) => void) => Promise<readonly Row[]>
}

/** What starting costs: the database with all agents, the compiler. */
const START_S = 30
/** How much shorter a quick round is. */
const QUICK_PART = 0.35

function perRound(roundS: number): Suite['seconds'] {
  return ({ rounds, quick }) => START_S + rounds * roundS * (quick ? QUICK_PART : 1)
}

const nothing = (): undefined => undefined

function noLoad(): string | undefined {
  const build = buildLoad()
  return build.program === undefined ? build.reason : undefined
}

/** By name, in the order in which they run. */
export const SUITES: Readonly<Record<string, Suite>> = {
  codec: {
    title: 'the codec beside eventsource-parser',
    seconds: perRound(20),
    rowCount: 23,
    missing: nothing,
    rows: async (effort, onRow) => [
      ...(await codecRows(effort, onRow)),
      ...(await codecMemoryRows(effort, onRow)),
    ],
  },
  client: {
    title: 'the event stream client beside eventsource',
    seconds: perRound(15),
    rowCount: 5,
    missing: nothing,
    rows: clientRows,
  },
  agent: {
    title: 'an idle agent beside an empty Node process',
    seconds: perRound(68),
    rowCount: 3,
    missing: nothing,
    rows: agentIdleRows,
  },
  whole: {
    title: 'operator → applied → settled',
    seconds: perRound(WHOLE_ROUND_S),
    rowCount: 2,
    missing: nothing,
    rows: wholeRows,
  },
  hub: {
    title: 'one hub beside Nchan, better-sse, node:http and bare sockets',
    seconds: perRound(HUB_ROUND_S),
    rowCount: 8,
    missing: noLoad,
    rows: hubRows,
  },
  scale: {
    title: 'one hub as fleet and mailbox grow',
    seconds: perRound(SCALE_ROUND_S),
    rowCount: 4,
    missing: noLoad,
    rows: scaleRows,
  },
  slow: {
    title: 'a reader that stops',
    seconds: perRound(SLOW_ROUND_S),
    rowCount: 3,
    missing: noLoad,
    rows: slowRows,
  },
  reconnect: {
    title: 'a fleet that comes back after kill -9',
    seconds: perRound(OUTAGE_ROUND_S),
    rowCount: 4,
    missing: noLoad,
    rows: reconnectRows,
  },
  drain: {
    title: 'a fleet through a drain',
    seconds: perRound(OUTAGE_ROUND_S),
    rowCount: 4,
    missing: noLoad,
    rows: drainRows,
  },
  tls: {
    title: 'behind nginx with TLS',
    seconds: perRound(TLS_ROUND_S),
    rowCount: 5,
    missing: tlsMissing,
    rows: tlsRows,
  },
  hold: {
    title: 'a fleet held for minutes',
    seconds: ({ quick, minutes = HOLD_MINUTES }) => START_S + (quick ? 25 : 60 * (minutes + 1)),
    rowCount: 7,
    missing: noLoad,
    rows: holdRows,
  },
}
