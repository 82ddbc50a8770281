/** Bytes of event streams: those of the vectors made wrong, lines out of a grammar, and bytes of no kind. */
import { readdirSync, readFileSync } from 'node:fs'
import { EVENT_DATA } from './samples.ts'
import type { Chance } from './chance.ts'
import { jsonText } from './json-text.ts'

const VECTORS = new URL('../../../../vectors/sse/', import.meta.url)
const STARTS = [
  'data:',
  'data: ',
  'data',
  'event:',
  'event: sync',
  'event: command',
  'event: drain',
  'id:',
  'id: 1',
  'retry:',
  'retry: 2000',
  ':',
  ': hb n=1 t=2',
  ': connected hb=15000',
  'dat',
  'datas:',
  '\ufeffdata:',
  ' data:',
  '',
] as const
const ENDS = ['\n', '\n', '\n', '\r', '\r\n', '\n\n', '\r\n\r\n', '\n\r'] as const
const PIECES = [
  '\0',
  '\ufeff',
  'é',
  '漢',
  '🙂',
  ' ',
  ':',
  '0',
  '99999999999',
  '{}',
  '\t',
  '\u2028',
  'x',
] as const

const vectors = readdirSync(VECTORS)
  .filter((name) => name.endsWith('.json'))
  .flatMap(
    (name) =>
      JSON.parse(readFileSync(new URL(name, VECTORS), 'utf8')) as readonly { readonly input?: unknown }[],
  )
  .flatMap(({ input }) => (typeof input === 'string' ? [Buffer.from(input)] : []))

/** A stream, most often one that means something. */
export function streamBytes(chance: Chance): Uint8Array {
  switch (chance.below(6)) {
    case 0:
      return chance.bytes(chance.size(3_000))
    case 1: {
      const known = vectors[chance.below(vectors.length)] ?? Buffer.alloc(0)
      return mutated(chance, Buffer.concat([known, lines(chance, 3)]))
    }
    case 2:
      return mutated(chance, lines(chance, 60))
    default:
      return lines(chance, 60)
  }
}

function lines(chance: Chance, countMax: number): Buffer {
  const parts: Buffer[] = []
  if (chance.oneIn(8)) parts.push(Buffer.from(chance.pick(['\ufeff', '\ufeff\ufeff'])))
  for (let left = chance.size(countMax); left > 0; left -= 1) {
    parts.push(Buffer.from(chance.pick(STARTS) + value(chance)))
    if (chance.oneIn(20)) parts.push(Buffer.from(chance.bytes(1 + chance.below(4))))
    parts.push(Buffer.from(chance.pick(ENDS)))
  }
  return Buffer.concat(parts)
}

function value(chance: Chance): string {
  if (chance.oneIn(5)) return jsonText(chance, EVENT_DATA).slice(0, 20_000)
  let text = ''
  for (let left = chance.size(6); left > 0; left -= 1)
    text += chance.pick(PIECES).repeat(1 + chance.size(300))
  return text
}

/** With some bytes changed, taken out, or put twice. */
export function mutated(chance: Chance, bytes: Buffer): Uint8Array {
  let result = Buffer.from(bytes)
  for (let left = 1 + chance.below(4); left > 0; left -= 1) {
    const at = chance.below(result.length + 1)
    const to = at + chance.size(40)
    const middle = chance.pick([
      [],
      [chance.below(256)],
      [0x0d],
      [0x0a],
      [0x00],
      [...result.subarray(at, to), ...result.subarray(at, to)],
    ])
    result = Buffer.concat([result.subarray(0, at), Buffer.from(middle), result.subarray(to)])
  }
  return result
}

/** `bytes` in chunks of any size, among them the empty one. */
export function cut(chance: Chance, bytes: Uint8Array): readonly Uint8Array[] {
  const sizeMax = chance.pick([1, 3, 64, 66, 600, 2_100, 70_000])
  const chunks: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const size = chance.below(sizeMax + 1)
    // A chunk of its own, so that whatever reads beyond it reads nothing.
    chunks.push(Uint8Array.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}
