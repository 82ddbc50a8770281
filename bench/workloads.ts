/** The streams that the codec is measured on, W1 to W5, and the ways in which a socket may cut them. */
import { encodeHeartbeat, encodeSseComment, encodeSseEvent } from '@downlink/protocol'

export type WorkloadName =
  | 'commands'
  | 'heartbeats'
  | 'numbered-heartbeats'
  | 'json-1k'
  | 'payload-64k'
  | 'lines-100'
  | 'wide-commands'

/** One kind of stream. */
export interface Workload {
  readonly name: WorkloadName
  readonly title: string
  /** The frame of that number; frames differ as those of a real stream do. */
  frame(number: number): Uint8Array
}

const VERBS = ['cancel', 'pause', 'resume']
/** Beyond ASCII of every UTF-8 length, as names of files and messages of people are. */
const WORDS = ['Übertragung läuft', 'café', 'naïve', '漢字かな', 'prêt à partir', 'Ελλάδα', '🙂', 'готово']

const WORKLOADS: readonly Workload[] = [
  {
    name: 'commands',
    title: 'W1 tiny command events',
    frame: (number) =>
      encodeSseEvent({
        event: 'command',
        data: JSON.stringify({ controls: [{ action: VERBS[number % 3], taskId: `task-${number % 1_000}` }] }),
      }),
  },
  { name: 'heartbeats', title: 'W2 heartbeats `: hb`', frame: () => encodeSseComment('hb') },
  {
    name: 'numbered-heartbeats',
    title: 'W2 heartbeats `: hb n=… t=…`',
    frame: (number) => encodeHeartbeat({ counter: number + 1, hubMs: 1_760_000_000_000 + number * 15_000 }),
  },
  {
    name: 'json-1k',
    title: 'W3 1 KiB JSON, not ASCII',
    frame: (number) => encodeSseEvent({ event: 'command', data: jsonOf(number, 1_024, WORDS) }),
  },
  {
    name: 'payload-64k',
    title: 'W4 64 KiB payloads',
    frame: (number) =>
      encodeSseEvent({ event: 'command', data: jsonOf(number, 65_536, ['ready', 'waiting']) }),
  },
  {
    name: 'lines-100',
    title: 'W5 100-line data',
    frame: (number) => encodeSseEvent({ event: 'log', data: logOf(number) }),
  },
  {
    name: 'wide-commands',
    title: 'tiny command events beyond ASCII',
    frame: (number) =>
      encodeSseEvent({
        event: 'command',
        data: JSON.stringify({ controls: [{ action: 'rename', taskId: `漢字-${number % 1_000}` }] }),
      }),
  },
]

export const WORKLOAD_NAMES: readonly WorkloadName[] = WORKLOADS.map(({ name }) => name)

export function workloadOf(name: string): Workload {
  const workload = WORKLOADS.find((each) => each.name === name)
  if (workload === undefined)
    throw new RangeError(`There is no workload ${name}; there are ${WORKLOAD_NAMES.join(', ')}.`)
  return workload
}

/** Whole frames of `workload`, at least `bytesMin` bytes in all. */
export function streamOf(workload: Workload, bytesMin: number): Uint8Array {
  const frames: Uint8Array[] = []
  for (let bytes = 0, number = 0; bytes < bytesMin; number += 1) {
    const frame = workload.frame(number)
    frames.push(frame)
    bytes += frame.length
  }
  return Buffer.concat(frames)
}

/** How a stream reaches the decoder: full reads of a busy socket, packets, or drips. */
export type Cut = '64 KiB' | '1460 B' | '1–7 B'

export const CUTS: readonly Cut[] = ['64 KiB', '1460 B', '1–7 B']

/** Cuts `stream` into Buffers with memory of their own, as reads of a socket are. */
export function chunksOf(stream: Uint8Array, cut: Cut): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < stream.length;) {
    const bytes = cut === '64 KiB' ? 65_536 : cut === '1460 B' ? 1_460 : 1 + ((chunks.length * 5) % 7)
    const chunk = Buffer.allocUnsafeSlow(Math.min(bytes, stream.length - at))
    chunk.set(stream.subarray(at, at + chunk.length))
    chunks.push(chunk)
    at += chunk.length
  }
  return chunks
}

/** JSON of at most `bytes` bytes, and at most one item less. */
function jsonOf(number: number, bytes: number, words: readonly string[]): string {
  const items: string[] = []
  let length = '{"items":[]}'.length
  for (;;) {
    const index = items.length + number
    const item = JSON.stringify({
      id: index,
      path: `/data/part-${index % 97}`,
      text: words[index % words.length],
    })
    const itemLength = Buffer.byteLength(item) + 1
    if (length + itemLength > bytes) return `{"items":[${items.join(',')}]}`
    items.push(item)
    length += itemLength
  }
}

function logOf(number: number): string {
  const lines = Array.from(
    { length: 100 },
    (_, index) => `${12_000 + number + index} worker ${index % 7}: copied part ${index} of ${number + 100}`,
  )
  return lines.join('\n')
}
