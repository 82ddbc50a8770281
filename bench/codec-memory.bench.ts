/** What hostile streams cost the decoder in memory, and what keeping one small payload pins; beside eventsource-parser. */
import { startChild } from './child.ts'
import { HOSTILITIES, type MemoryAnswer, type MemoryRequest } from './codec-memory-process.ts'
import { CODEC_SUBJECTS, type CodecSubject } from './codec-subjects.ts'
import type { Effort } from './codec.bench.ts'
import type { Row } from './report.ts'
import { inRounds, spreadOf } from './rounds.ts'

const OFFERED_BYTES = 200_000_000
const OFFERED_BYTES_QUICK = 20_000_000
const MB = 1_000_000
const KIB = 1_024
const PEAK_MB_MAX = 16
const PINNED_KIB_MAX = 4

export async function codecMemoryRows(effort: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const rows: Row[] = []
  const add = async (
    name: string,
    unit: string,
    max: number,
    per: number,
    request: MemoryRequest,
  ): Promise<void> => {
    const results = await inRounds(
      effort.rounds,
      CODEC_SUBJECTS,
      async (subject) => (await ask(subject, request)) / per,
    )
    const row: Row = {
      suite: 'codec',
      name,
      unit,
      result: spreadOf(results, 'downlink'),
      target: { is: 'at most', value: max },
      figures: { [`${unit}: eventsource-parser`]: spreadOf(results, 'eventsource-parser') },
    }
    onRow(row)
    rows.push(row)
  }
  const offeredBytes = effort.quick ? OFFERED_BYTES_QUICK : OFFERED_BYTES
  for (const hostility of HOSTILITIES) {
    const name = `peak growth, ${offeredBytes / MB} MB of an endless ${hostility}`
    await add(name, 'MB', PEAK_MB_MAX, MB, { hostility, offeredBytes })
  }
  await add('pinned by one small payload', 'KiB', PINNED_KIB_MAX, KIB, { keepFrom: 'commands' })
  await add('pinned by one beyond ASCII', 'KiB', PINNED_KIB_MAX, KIB, { keepFrom: 'wide-commands' })
  return rows
}

async function ask(subject: CodecSubject, request: MemoryRequest): Promise<number> {
  await using child = startChild('codec-memory-process.ts', [subject], ['--expose-gc'])
  const answer = (await child.ask(request)) as MemoryAnswer
  if ('hostility' in request && answer.offeredBytes < request.offeredBytes) {
    throw new Error(
      `Only ${answer.offeredBytes} of ${request.offeredBytes} bytes were offered. Mend the bench.`,
    )
  }
  return answer.bytes
}
