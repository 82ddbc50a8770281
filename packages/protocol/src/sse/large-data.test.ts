import { expect, test } from 'vitest'
import { SSE_EVENT_BYTES_MAX } from '../limits.ts'
import { ByteDecoder } from './decode.ts'
import { SseLimitError } from './sse-error.ts'

const LIMITS = {
  lineBytesMax: 262_143,
  eventBytesMax: SSE_EVENT_BYTES_MAX,
  blockBytesMax: 4 * SSE_EVENT_BYTES_MAX,
  blockLinesMax: 65_536,
}

function decoderOf() {
  const events: string[] = []
  const decoder = new ByteDecoder({ event: (_name, data) => events.push(data), comment: () => {} }, LIMITS)
  return { decoder, events }
}

/** The stream of one event with these lines of data, and what the standard makes of them. */
function eventOf(lines: readonly Uint8Array[], lineEnd = '\n'): { bytes: Uint8Array; data: string } {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  const parts = lines.flatMap((line) => [Buffer.from('data: '), line, Buffer.from(lineEnd)])
  return {
    bytes: Buffer.concat([...parts, Buffer.from(lineEnd)]),
    data: lines.map((line) => utf8.decode(line)).join('\n'),
  }
}

const line = (text: string): Uint8Array => Buffer.from(text)
const repeated = (count: number, of: (number: number) => Uint8Array): Uint8Array[] =>
  Array.from({ length: count }, (_, number) => of(number))

const KINDS: Readonly<Record<string, readonly Uint8Array[]>> = {
  'long lines': repeated(60, (number) => line(`${number}`.repeat(500))),
  'short lines': repeated(3_000, (number) => line(`line ${number}`)),
  'empty lines': repeated(5_000, () => line('')),
  'a long line and a short one': [line('x'.repeat(200_000)), line('y'), line('')],
  'a short line and a long one': [line('x'), line('y'.repeat(200_000))],
  'wide characters': repeated(400, (number) => line(`漢字 🙂 ${number} `.repeat(10))),
  'a long line of bad bytes': [Buffer.alloc(200_000, 0xff), line('behind it')],
  'characters cut by line ends': repeated(2_000, () => Buffer.from([0x61, 0xf0, 0x9f, 0x99])),
  'byte order marks': repeated(2_000, () => Buffer.from([0xef, 0xbb, 0xbf])),
}

test.for(Object.entries(KINDS))(
  'given a large event of %s, split in any way > its data is what the standard says',
  ([, lines]) => {
    for (const lineEnd of ['\n', '\r\n', '\r']) {
      const { bytes, data } = eventOf(lines, lineEnd)
      for (const chunkBytes of [bytes.length, 65_536, 1_460, 61, 7]) {
        const { decoder, events } = decoderOf()
        for (let at = 0; at < bytes.length; at += chunkBytes)
          decoder.push(bytes.subarray(at, at + chunkBytes))
        expect(
          events.length === 1 && events[0] === data,
          `in chunks of ${chunkBytes}, lines ended by ${JSON.stringify(lineEnd)}`,
        ).toBe(true)
      }
    }
  },
)

test('given large and small events in turn, of two streams > none has anything of another', () => {
  const one = decoderOf()
  const other = decoderOf()
  const large = eventOf(repeated(100, () => line('x'.repeat(1_000))))
  const larger = eventOf(repeated(200, () => line('y'.repeat(1_000))))
  const small = eventOf([line('small'), line('event')])
  for (let time = 0; time < 3; time += 1) {
    one.decoder.push(large.bytes.subarray(0, 50_000))
    other.decoder.push(larger.bytes)
    one.decoder.push(large.bytes.subarray(50_000))
    one.decoder.push(small.bytes)
    other.decoder.push(small.bytes)
  }
  expect(one.events).toEqual(Array.from({ length: 3 }, () => [large.data, small.data]).flat())
  expect(other.events).toEqual(Array.from({ length: 3 }, () => [larger.data, small.data]).flat())
})

test('given an event that grows > it is held once, is refused past its bound, and then nothing is held', () => {
  const { decoder, events } = decoderOf()
  const part = Buffer.from(`data: ${'x'.repeat(1_023)}\n`)
  const parts = SSE_EVENT_BYTES_MAX / 1_024
  for (let number = 0; number < parts; number += 1) decoder.push(part)
  // Memory doubles.
  expect(decoder.retainedBytes).toBeLessThanOrEqual(2 * SSE_EVENT_BYTES_MAX + part.length)
  expect(() => decoder.push(part)).toThrow(new SseLimitError('sse_event_too_large', SSE_EVENT_BYTES_MAX))
  expect(decoder.retainedBytes).toBeLessThanOrEqual(1)
  expect(events).toEqual([])
})
