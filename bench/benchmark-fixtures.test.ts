/** Tests of the benchmark's own inputs and arithmetic: a figure is worth nothing if the subjects do not do the same work. */
import { describe, expect, test } from 'vitest'
import { CODEC_SUBJECTS, createStreamDecoder, type CodecSubject } from './codec-subjects.ts'
import { formatTable, verdictOf, type Row } from './report.ts'
import { inRounds, ratioOf, spread } from './rounds.ts'
import { chunksOf, CUTS, streamOf, WORKLOAD_NAMES, workloadOf, type Cut } from './workloads.ts'

function reports(subject: CodecSubject, chunks: readonly Buffer[]): string[] {
  const seen: string[] = []
  const decoder = createStreamDecoder(subject, {
    event: (name, data) => seen.push(`${name}: ${data}`),
    comment: (text) => seen.push(`: ${text}`),
  })
  for (const chunk of chunks) decoder.push(chunk)
  return seen
}

describe.each(WORKLOAD_NAMES)('given the workload %s', (name) => {
  const workload = workloadOf(name)
  const stream = streamOf(workload, 200_000)

  test.each(CUTS)('in chunks of %s > every subject yields the same events', (cut) => {
    const [ours, peers] = CODEC_SUBJECTS.map((subject) => reports(subject, chunksOf(stream, cut)))
    expect(ours?.length, 'the workload has no events: mend its frames').toBeGreaterThan(2)
    expect(ours, 'the subjects disagree: one of the decoders is wrong').toEqual(peers)
  })

  test('in one chunk > yields one report a frame', () => {
    const frames = Array.from({ length: 20 }, (_, number) => workload.frame(number))
    expect(reports('downlink', [Buffer.concat(frames)]), 'a frame must be one event').toHaveLength(20)
  })
})

test.each<[Cut, number, number]>([
  ['64 KiB', 65_536, 65_536],
  ['1460 B', 1_460, 1_460],
  ['1–7 B', 1, 7],
])('given the cut %s > chunks have %i to %i bytes and are the stream', (cut, bytesMin, bytesMax) => {
  const stream = streamOf(workloadOf('json-1k'), 200_000)
  const chunks = chunksOf(stream, cut)
  const lengths = chunks.slice(0, -1).map(({ length }) => length)
  expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([bytesMin, bytesMax])
  expect(Buffer.concat(chunks).equals(stream), 'a cut must lose nothing').toBe(true)
})

test.each([
  ['commands', 60, 90],
  ['json-1k', 900, 1_060],
  ['payload-64k', 65_000, 65_600],
] as const)('given the workload %s > its frames have %i to %i bytes', (name, bytesMin, bytesMax) => {
  for (const number of [0, 7, 999]) {
    const { length } = workloadOf(name).frame(number)
    expect(length >= bytesMin && length <= bytesMax, `frame ${number} has ${length} bytes`).toBe(true)
  }
})

describe('given rounds', () => {
  test('with a drift > ratios are taken within each round, and the order turns', async () => {
    const order: string[] = []
    const rounds = await inRounds(3, ['ours', 'peer'], (subject, round) => {
      order.push(subject)
      return (round + 1) * (subject === 'ours' ? 3 : 2)
    })
    expect(ratioOf(rounds, 'ours', 'peer')).toEqual({ median: 1.5, min: 1.5, max: 1.5 })
    expect(order).toEqual(['ours', 'peer', 'peer', 'ours', 'ours', 'peer'])
  })

  test('of an even number > the median lies between the middle ones', () => {
    expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 })
    expect(() => spread([])).toThrow(/at least one round/)
  })
})

test('given rows > the table says which targets were reached, by the median', () => {
  const row = (median: number, is: 'at least' | 'at most'): Row => ({
    suite: 'codec',
    name: `row ${is} 2`,
    unit: '×',
    result: { median, min: 1, max: 9 },
    target: { is, value: 2 },
    figures: { ours: { median: 640, min: 1, max: 1 } },
  })
  const rows = [row(2, 'at least'), row(1.99, 'at least'), row(2, 'at most'), row(2.01, 'at most')]
  expect(rows.map(verdictOf)).toEqual(['reached', 'missed', 'reached', 'missed'])
  expect(formatTable(rows).split('\n')[2]).toMatch(
    /^row at least 2 +2\.00× +1\.00–9\.00 +≥ 2\.00× +reached +ours 640$/,
  )
})
