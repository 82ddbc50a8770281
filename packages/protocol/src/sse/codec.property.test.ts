/** What must hold for any stream and any way to split it, and for any frame that the encoder writes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteDecoder, createSseDecoder } from './decode.ts'
import { encodeSseComment, encodeSseEvent, encodeSseRetry } from './encode.ts'
import { SseLimitError } from './sse-error.ts'
import type { SseLimits } from './sse-error.ts'

const encoder = new TextEncoder()

/** Everything that a decoder reported, one string each; an error ends the list. */
function decode(chunks: Iterable<Uint8Array>, limits?: Partial<SseLimits>): string[] {
  const reports: string[] = []
  const decoder = createSseDecoder(
    {
      event: (name, data, lastEventId) => reports.push(`event ${JSON.stringify([name, data, lastEventId])}`),
      comment: (text) => reports.push(`comment ${JSON.stringify(text)}`),
      retry: (retryMs) => reports.push(`retry ${retryMs}`),
    },
    limits,
  )
  try {
    for (const chunk of chunks) decoder.push(chunk)
    decoder.end()
  } catch (error) {
    if (!(error instanceof SseLimitError)) throw error
    reports.push(`error ${error.code}`)
  }
  return reports
}

/** The standard's text, line by line, with no regard to speed or bounds. */
function decodeByTheStandard(bytes: Uint8Array): string[] {
  const reports: string[] = []
  const lines = new TextDecoder().decode(bytes).split(/\r\n|\r|\n/)
  lines.pop()
  let [data, eventType, lastEventId] = ['', '', '']
  for (const line of lines) {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (line === '') {
      if (data !== '') {
        const name = eventType === '' ? 'message' : eventType
        reports.push(`event ${JSON.stringify([name, data.replace(/\n$/, ''), lastEventId])}`)
      }
      data = ''
      eventType = ''
    } else if (colon === 0) reports.push(`comment ${JSON.stringify(value)}`)
    else if (field === 'event') eventType = value
    else if (field === 'data') data += `${value}\n`
    else if (field === 'id') lastEventId = value.includes('\0') ? lastEventId : value
    else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      reports.push(`retry ${Math.min(Number(value), 2 ** 31 - 1)}`)
    }
  }
  return reports
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

/** Cuts `bytes` into chunks of the given sizes, over and over. */
function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

/** Sizes around what the decoder distinguishes: single bytes, small chunks, packets, chunks of many texts. */
const sizes = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 8 }),
    fc.integer({ min: 60, max: 70 }),
    fc.integer({ min: 1, max: 5_000 }),
  ),
  { minLength: 1, maxLength: 6 },
)

const lineEnd = fc.constantFrom('\n', '\n', '\r\n', '\r')
const lineStart = fc.constantFrom(
  'data: ',
  'data:',
  'data',
  'event: ',
  'event:',
  'event',
  'id: ',
  'id:',
  'id',
  'retry: ',
  'retry',
  ': ',
  ':',
  'datas: ',
  'dat',
  'x: ',
  'eventx',
  '\ufeff',
  '\ufeffdata: ',
  '',
)
const text = fc.oneof(
  fc.constantFrom('', '', ' ', '0', '2000', 'sync', 'command', 'hb', '\0', ':', 'é', '漢', '🙂', '\ufeff'),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc
    .tuple(fc.constantFrom('x', 'é', '漢', '🙂', 'xxxxxxx漢'), fc.integer({ min: 1, max: 3_000 }))
    .map(([unit, count]) => unit.repeat(count)),
)
const bytesOfText = (value: string): Uint8Array => encoder.encode(value)
const badBytes = fc.uint8Array({ min: 0x78, maxLength: 5 })
const line = fc
  .tuple(
    fc.oneof({ weight: 8, arbitrary: lineStart.map(bytesOfText) }, { weight: 1, arbitrary: badBytes }),
    fc.oneof({ weight: 4, arbitrary: text.map(bytesOfText) }, { weight: 1, arbitrary: badBytes }),
    lineEnd.map(bytesOfText),
    fc.constantFrom('', '', '\n', '\r\n').map(bytesOfText),
  )
  .map(concat)
const linesOfAllKinds = fc
  .tuple(
    fc.constantFrom([], [0xef, 0xbb, 0xbf], [0xef, 0xbb], [0xff]).map((start) => Uint8Array.from(start)),
    fc.array(line, { maxLength: 40, size: 'max' }),
    fc.oneof(text.map(bytesOfText), badBytes),
  )
  .map(([start, lines, rest]) => concat([start, ...lines, rest]))

/** Comments that are as long as one another, as heartbeats are, some with a byte that makes one something else. */
const likeComments = fc
  .tuple(
    fc.integer({ min: 1, max: 70 }),
    fc.array(
      fc.record({
        byte: fc.constantFrom(0x0a, 0x0d, 0x00, 0x1f, 0x20, 0x39, 0x3a, 0x7f, 0x80, 0xc3, 0xe6),
        at: fc.integer({ min: 0, max: 400 }),
        end: fc.constantFrom('\n\n', '\n\n', '\n', '\r\n\r\n', '\ndata: x\n'),
      }),
      { maxLength: 40, size: 'max' },
    ),
  )
  .map(([length, comments]) =>
    concat(
      comments.flatMap(({ byte, at, end }) => {
        const comment = Buffer.from(': hb n=1 '.padEnd(length, '0123456789').slice(0, length))
        if (at < length) comment[at] = byte
        return [comment, Buffer.from(end)]
      }),
    ),
  )

const stream = fc.oneof({ arbitrary: linesOfAllKinds, weight: 3 }, { arbitrary: likeComments, weight: 1 })

const RUNS = 150

describe('given any stream', () => {
  test('split in any way > reports what the standard says', () => {
    fc.assert(
      fc.property(stream, sizes, (bytes, chunkSizes) => {
        const expected = decodeByTheStandard(bytes)
        expect(decode([bytes]), 'whole: mend the decoder').toEqual(expected)
        expect(decode(cut(bytes, chunkSizes)), 'split: mend the decoder').toEqual(expected)
      }),
      { numRuns: RUNS },
    )
  })

  test('of any bytes at all > reports what the standard says', () => {
    const few = fc.array(fc.constantFrom(0x0a, 0x0d, 0x3a, 0x20, 0x64, 0xef, 0xbb, 0xbf, 0xe6, 0xf0, 0x9f), {
      maxLength: 200,
      size: 'max',
    })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200, size: 'max' }),
          few.map((bytes) => Uint8Array.from(bytes)),
        ),
        sizes,
        (bytes, chunkSizes) => {
          expect(decode(cut(bytes, chunkSizes)), 'mend the decoder').toEqual(decodeByTheStandard(bytes))
        },
      ),
      { numRuns: RUNS * 2 },
    )
  })

  test('within small limits, split in any way > reports the same and fails the same', () => {
    const limits = fc.record({
      lineBytesMax: fc.integer({ min: 1, max: 3_000 }),
      eventBytesMax: fc.integer({ min: 1, max: 5_000 }),
      blockBytesMax: fc.integer({ min: 1, max: 5_000 }),
      blockLinesMax: fc.integer({ min: 1, max: 12 }),
    })
    fc.assert(
      fc.property(stream, sizes, limits, (bytes, chunkSizes, bounds) => {
        const whole = decode([bytes], bounds)
        expect(decode(cut(bytes, chunkSizes), bounds), 'a limit depends on the split').toEqual(whole)
        const failed = whole.at(-1)?.startsWith('error ') === true
        const reported = failed ? whole.slice(0, -1) : whole
        const expected = decodeByTheStandard(bytes)
        expect(reported, 'limits may only cut a stream short').toEqual(
          failed ? expected.slice(0, reported.length) : expected,
        )
      }),
      { numRuns: RUNS },
    )
  })
})

describe('given any bytes and small limits', () => {
  const limits = fc.record({
    lineBytesMax: fc.integer({ min: 1, max: 3_000 }),
    eventBytesMax: fc.integer({ min: 1, max: 5_000 }),
    blockBytesMax: fc.integer({ min: 1, max: 5_000 }),
    blockLinesMax: fc.integer({ min: 1, max: 12 }),
  })
  const bytes = fc.oneof(stream, fc.uint8Array({ maxLength: 5_000, size: 'max' }))

  test('split in any way > they end in events or one typed error, and no more is kept than the limits allow', () => {
    fc.assert(
      fc.property(bytes, sizes, limits, (input, chunkSizes, bounds) => {
        const sink = { event: () => undefined, comment: () => undefined }
        const decoder = new ByteDecoder(sink, bounds)
        // A held line has room for an LF, 256 bytes at least, and a small chunk is read before its length is looked at.
        const retainedMax = Math.max(256, bounds.lineBytesMax + 1 + 64) + bounds.eventBytesMax
        let retained = 0
        const errors: unknown[] = []
        for (const chunk of cut(input, chunkSizes)) {
          try {
            decoder.push(chunk)
          } catch (error) {
            errors.push(error)
          }
          retained = Math.max(retained, decoder.retainedBytes)
        }
        expect(retained, 'what is kept must have a bound').toBeLessThanOrEqual(retainedMax)
        expect(new Set(errors).size, 'a decoder fails once').toBeLessThanOrEqual(1)
        if (errors.length > 0) expect(errors[0], 'an error must be typed').toBeInstanceOf(SseLimitError)
      }),
      { numRuns: RUNS },
    )
  })
})

describe('given a sink that pauses', () => {
  test('any stream, split in any way > hears exactly what it has room for, and then the rest', () => {
    fc.assert(
      fc.property(stream, sizes, fc.integer({ min: 1, max: 9 }), (bytes, chunkSizes, room) => {
        const reports: string[] = []
        let heard = 0
        const hear = (report: string): void => {
          reports.push(report)
          heard += 1
          if (heard === room) decoder.pause()
        }
        const decoder = createSseDecoder({
          event: (name, data, lastEventId) => hear(`event ${JSON.stringify([name, data, lastEventId])}`),
          comment: (comment) => hear(`comment ${JSON.stringify(comment)}`),
          retry: (retryMs) => hear(`retry ${retryMs}`),
        })
        const wrong: string[] = []
        const check = (isRead: boolean): boolean => {
          if (heard > room) wrong.push('a paused decoder must call its sink no more')
          if (isRead !== heard < room) wrong.push('a decoder that was paused must say so, and no other')
          return isRead
        }
        for (const chunk of cut(bytes, chunkSizes)) {
          let isRead = check(decoder.push(chunk))
          while (!isRead) {
            heard = 0
            isRead = check(decoder.resume())
          }
        }
        decoder.end()
        expect(wrong).toEqual([])
        expect(reports, 'a pause must lose and repeat nothing').toEqual(decodeByTheStandard(bytes))
      }),
      { numRuns: RUNS },
    )
  })
})

describe('given any frames', () => {
  const oneLine = fc
    .string({ unit: 'binary', maxLength: 40 })
    .map((value) => value.replaceAll(/[\r\n\0]/g, '_'))
  const event = fc.record(
    {
      event: oneLine.filter((name) => name !== ''),
      data: fc
        .oneof(
          fc.string({ unit: 'binary', maxLength: 200 }),
          text,
          fc.constantFrom('a\nb', '\n{}\r\n\r', '{}'),
        )
        .filter((data) => data.trim() !== ''),
      id: oneLine,
      retryMs: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    },
    { requiredKeys: ['event', 'data'] },
  )
  const frame = fc.oneof(
    event.map((value) => ({ type: 'event', value }) as const),
    fc.string({ unit: 'binary', maxLength: 60 }).map((value) => ({ type: 'comment', value }) as const),
    fc.integer({ min: 0, max: 2 ** 31 - 1 }).map((value) => ({ type: 'retry', value }) as const),
  )
  const wellFormed = (value: string): string => value.toWellFormed().replaceAll(/\r\n|\r/g, '\n')

  test('encoded, split in any way and decoded > they come back', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), sizes, (frames, chunkSizes) => {
        const encoded: Uint8Array[] = []
        const expected: string[] = []
        let lastEventId = ''
        for (const { type, value } of frames) {
          if (type === 'comment') {
            encoded.push(encodeSseComment(value))
            for (const part of wellFormed(value).split('\n')) expected.push(`comment ${JSON.stringify(part)}`)
          } else if (type === 'retry') {
            encoded.push(encodeSseRetry(value))
            expected.push(`retry ${value}`)
          } else {
            encoded.push(encodeSseEvent(value))
            if (value.retryMs !== undefined) expected.push(`retry ${value.retryMs}`)
            lastEventId = wellFormed(value.id ?? lastEventId)
            const parts = [wellFormed(value.event), wellFormed(value.data), lastEventId]
            expected.push(`event ${JSON.stringify(parts)}`)
          }
        }
        expect(decode(cut(concat(encoded), chunkSizes)), 'mend the encoder').toEqual(expected)
      }),
      { numRuns: RUNS },
    )
  })
})
