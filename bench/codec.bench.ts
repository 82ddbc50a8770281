/** How fast the codec decodes W1 to W5, beside eventsource-parser: bytes per CPU time, each subject in a process of its own. */
import { startChild, type Child } from './child.ts'
import type { CodecSlice, CodecSliceRequest } from './codec-process.ts'
import { CODEC_SUBJECTS, type CodecSubject } from './codec-subjects.ts'
import type { Row, Target } from './report.ts'
import { ratioOf, spreadOf, type Round } from './rounds.ts'
import { CUTS, WORKLOAD_NAMES, workloadOf, type Cut, type WorkloadName } from './workloads.ts'

/** How long to measure. */
export interface Effort {
  readonly rounds: number
  /** Shorter rounds and warm-up, to see that all runs; its figures mean little. */
  readonly quick: boolean
}

const SLICE_CPU_US = 20_000
const SLICES_PER_ROUND = 8
const WARM_UP_CPU_US = 400_000

/** For chunks of 64 KiB and of 1460 bytes. */
const REACH: Readonly<Record<WorkloadName, number | undefined>> = {
  commands: 1.15,
  heartbeats: 2.3,
  'numbered-heartbeats': 2.3,
  'json-1k': 1.05,
  'payload-64k': 1.2,
  'lines-100': 0.95,
  'wide-commands': undefined,
}
const REACH_DRIPS = 2.5

export async function codecRows(effort: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of WORKLOAD_NAMES) {
    for (const cut of CUTS) {
      const row = await measure(name, cut, effort)
      onRow(row)
      rows.push(row)
    }
  }
  return rows
}

async function measure(name: WorkloadName, cut: Cut, { rounds, quick }: Effort): Promise<Row> {
  await using ours = startChild('codec-process.ts', ['downlink', name, cut])
  await using peer = startChild('codec-process.ts', ['eventsource-parser', name, cut])
  const children: Readonly<Record<CodecSubject, Child>> = { downlink: ours, 'eventsource-parser': peer }
  for (const subject of CODEC_SUBJECTS) await slice(children[subject], quick ? SLICE_CPU_US : WARM_UP_CPU_US)
  const results: Round<CodecSubject>[] = []
  for (let round = 0; round < rounds; round += 1) {
    results.push(await measureRound(children, round, quick ? 2 : SLICES_PER_ROUND))
  }
  return {
    suite: 'codec',
    name: `${workloadOf(name).title}, ${cut}`,
    unit: '×',
    result: ratioOf(results, 'downlink', 'eventsource-parser'),
    target: targetOf(name, cut),
    figures: {
      'MB/s: downlink': spreadOf(results, 'downlink'),
      'eventsource-parser': spreadOf(results, 'eventsource-parser'),
    },
  }
}

/** Subjects alternate within a round, in slices much shorter than the moods of a shared machine. */
async function measureRound(
  children: Readonly<Record<CodecSubject, Child>>,
  round: number,
  slices: number,
): Promise<Round<CodecSubject>> {
  const bytes: Record<CodecSubject, number> = { downlink: 0, 'eventsource-parser': 0 }
  const cpuUs: Record<CodecSubject, number> = { downlink: 0, 'eventsource-parser': 0 }
  for (let turn = 0; turn < slices; turn += 1) {
    for (const subject of (turn + round) % 2 === 0 ? CODEC_SUBJECTS : CODEC_SUBJECTS.toReversed()) {
      const done = await slice(children[subject], SLICE_CPU_US)
      bytes[subject] += done.bytes
      cpuUs[subject] += done.cpuUs
    }
  }
  return {
    downlink: bytes.downlink / cpuUs.downlink,
    'eventsource-parser': bytes['eventsource-parser'] / cpuUs['eventsource-parser'],
  }
}

async function slice(child: Child, cpuUs: number): Promise<CodecSlice> {
  const request: CodecSliceRequest = { cpuUs }
  return (await child.ask(request)) as CodecSlice
}

function targetOf(name: WorkloadName, cut: Cut): Target | undefined {
  const value = cut === '1–7 B' ? REACH_DRIPS : REACH[name]
  return value === undefined ? undefined : { is: 'at least', value }
}
