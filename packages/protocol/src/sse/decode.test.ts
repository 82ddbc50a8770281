/** The decoder against the vectors, however they are split, and what it promises beside them. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import {
  SSE_BLOCK_BYTES_MAX,
  SSE_BLOCK_LINES_MAX,
  SSE_EVENT_BYTES_MAX,
  SSE_LINE_BYTES_MAX,
} from '../limits.ts'
import { createSseDecoder } from './decode.ts'
import type { SseDecoder } from './decode.ts'
import { SseLimitError } from './sse-error.ts'
import type { SseLimitCode, SseLimits } from './sse-error.ts'
import type { SseSink } from './sse-sink.ts'

type Report =
  | { type: 'event'; name: string; data: string; lastEventId: string }
  | { type: 'comment'; text: string }
  | { type: 'retry'; retryMs: number }

interface Vector {
  name: string
  why: string
  input?: string
  inputBase64?: string
  limits?: Partial<SseLimits>
  expect: Report[]
  error?: SseLimitCode
}

const vectorsFolder = new URL('../../../../vectors/sse/', import.meta.url)
const themes = readdirSync(vectorsFolder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => ({
    theme: file.slice(0, -'.json'.length),
    vectors: JSON.parse(readFileSync(new URL(file, vectorsFolder), 'utf8')) as Vector[],
  }))

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

function inputOf(vector: Vector): Uint8Array {
  return vector.inputBase64 === undefined
    ? utf8(vector.input ?? '')
    : Uint8Array.from(Buffer.from(vector.inputBase64, 'base64'))
}

function recorder(): { reports: Report[]; sink: SseSink } {
  const reports: Report[] = []
  const sink: SseSink = {
    event: (name, data, lastEventId) => reports.push({ type: 'event', name, data, lastEventId }),
    comment: (text) => reports.push({ type: 'comment', text }),
    retry: (retryMs) => reports.push({ type: 'retry', retryMs }),
  }
  return { reports, sink }
}

function decode(chunks: Iterable<Uint8Array>, limits?: Partial<SseLimits>): [Report[], string | undefined] {
  const { reports, sink } = recorder()
  const decoder = createSseDecoder(sink, limits)
  try {
    for (const chunk of chunks) decoder.push(chunk)
  } catch (error) {
    if (error instanceof SseLimitError) return [reports, error.code]
    throw error
  }
  decoder.end()
  return [reports, undefined]
}

function check(vector: Vector, chunks: Uint8Array[], expected: Report[], how: string): void {
  expect(
    decode(chunks, vector.limits),
    `${how}: ${vector.why} Mend the decoder, not vectors/sse, unless the standard says otherwise.`,
  ).toEqual([expected, vector.error])
}

function checkSplits(vector: Vector, bytes: Uint8Array, expected: Report[]): void {
  check(vector, [bytes], expected, 'whole')
  check(
    vector,
    Array.from(bytes, (byte) => Uint8Array.of(byte)),
    expected,
    'byte by byte',
  )
  for (let at = 1; at < bytes.length; at += 1) {
    check(vector, [bytes.subarray(0, at), bytes.subarray(at)], expected, `split at ${at}`)
  }
}

/** Empty comments, free between blocks: they make a chunk too large for the decoder's plain loop. */
const padding = utf8(':\n'.repeat(40))
const padded = padding.length / 2

function pad(bytes: Uint8Array): Uint8Array {
  const start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  return Uint8Array.from([...bytes.subarray(0, start), ...padding, ...bytes.subarray(start)])
}

describe.each(themes)('given the vectors of $theme', ({ vectors }) => {
  test.each(vectors)('$name > reports the same however it is split', (vector) => {
    const bytes = inputOf(vector)
    checkSplits(vector, bytes, vector.expect)
    const comments = Array.from({ length: padded }, (): Report => ({ type: 'comment', text: '' }))
    checkSplits(vector, pad(bytes), [...comments, ...vector.expect])
  })
})

test('given the folder of vectors > it holds every theme', () => {
  const count = themes.reduce((sum, { vectors }) => sum + vectors.length, 0)
  expect(count, 'vectors are missing: restore vectors/sse from git').toBeGreaterThanOrEqual(165)
})

describe('given the default limits (R-12)', () => {
  const cases: [string, string, SseLimitCode][] = [
    ['a line', `data: ${'x'.repeat(SSE_LINE_BYTES_MAX - 6)}`, 'sse_line_too_long'],
    ['an unknown line', 'x'.repeat(SSE_LINE_BYTES_MAX), 'sse_line_too_long'],
    [
      'an event',
      `data: x${`${'x'.repeat(255)}\ndata: `.repeat(SSE_EVENT_BYTES_MAX / 256 - 1)}${'x'.repeat(255)}`,
      'sse_event_too_large',
    ],
    [
      'a block',
      `x: ${'x'.repeat(252)}\n`.repeat(SSE_BLOCK_BYTES_MAX / 256).slice(0, -1),
      'sse_block_too_large',
    ],
    ['the lines of a block', 'data\n'.repeat(SSE_BLOCK_LINES_MAX).slice(0, -1), 'sse_block_too_many_lines'],
  ]
  test.each(cases)('%s at its limit > passes, and fails one further', (_what, atLimit, code) => {
    const further = code === 'sse_block_too_many_lines' ? '\ndata' : 'x'
    const events = atLimit.startsWith('data') ? 1 : 0
    for (const bytesMax of [63, 1_460, 65_536, Infinity]) {
      const [passing, none] = decode(inChunks(utf8(`${atLimit}\n\n`), bytesMax))
      expect([passing.length, none], 'the limit itself must pass').toEqual([events, undefined])
      const [failing, error] = decode(inChunks(utf8(`${atLimit}${further}\n\n`), bytesMax))
      expect([failing.length, error], 'one more than the limit must fail').toEqual([0, code])
    }
  })

  test.each([
    ['line', 'x', 'sse_line_too_long', SSE_LINE_BYTES_MAX],
    ['event', 'data: 0123456789abcdef0123456789abcdef\n', 'sse_event_too_large', 2 * SSE_EVENT_BYTES_MAX],
    ['run of bare data lines', 'data\n', 'sse_block_too_many_lines', 5 * SSE_BLOCK_LINES_MAX],
    ['run of ids', 'id: 1\n', 'sse_block_too_many_lines', 6 * SSE_BLOCK_LINES_MAX],
    ['run of comments in a block', ': hb\nx\n', 'sse_block_too_many_lines', 7 * SSE_BLOCK_LINES_MAX],
  ])('an endless %s > fails before more than its limit is held', (_what, part, code, bytesMax) => {
    const chunk = utf8(part.repeat(Math.ceil(16_384 / part.length)))
    const { sink } = recorder()
    const decoder = createSseDecoder(sink)
    let pushed = 0
    const feed = (): void => {
      while (pushed <= bytesMax + chunk.length) {
        pushed += chunk.length
        decoder.push(chunk)
      }
    }
    expect(feed, `no limit stops it within ${bytesMax} bytes`).toThrow(expect.objectContaining({ code }))
  })
})

function* inChunks(bytes: Uint8Array, bytesMax: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += bytesMax) yield bytes.subarray(at, at + bytesMax)
}

describe('given a decoder that failed', () => {
  test('further pushes > throw the same error and report nothing', () => {
    const { reports, sink } = recorder()
    const decoder = createSseDecoder(sink, { lineBytesMax: 8 })
    const errors = [': 1234567', ': a\n', ''].map((text) => {
      try {
        decoder.push(utf8(text))
        return undefined
      } catch (error) {
        return error
      }
    })
    const [first] = errors
    expect(first).toMatchObject({ name: 'SseLimitError', code: 'sse_line_too_long', limit: 8 })
    expect(String(first), 'say what happened, the limit and the remedy').toMatch(
      /longer than 8 bytes.*must split/,
    )
    expect(errors, 'each push must throw the very same error').toEqual([first, first, first])
    expect(reports).toEqual([])
  })

  test('a sink that throws > its error comes out of push, now and later', () => {
    const boom = new Error('boom')
    const fail = (): never => {
      throw boom
    }
    const decoder = createSseDecoder({ event: fail, comment: fail })
    expect(() => decoder.push(utf8('data: a\n\n'))).toThrow(boom)
    expect(() => decoder.push(utf8('data: b\n\n'))).toThrow(boom)
  })
})

describe('given the end', () => {
  test('bytes after it > are ignored', () => {
    const { reports, sink } = recorder()
    const decoder = createSseDecoder(sink)
    decoder.push(utf8('data: a\n'))
    decoder.end()
    decoder.push(utf8('\ndata: b\n\n'))
    decoder.end()
    expect(reports, 'end() must silence the decoder').toEqual([])
  })

  test.each([1, 7, 65_536])('it comes from the sink, chunks of %i > nothing more is reported', (bytesMax) => {
    const seen: string[] = []
    const decoder = createSseDecoder({
      event: (_name, data) => {
        seen.push(data)
        decoder.end()
      },
      comment: (text) => seen.push(text),
    })
    const stream = `data: a\n\n: b\ndata: c\n\n${`: ${'d'.repeat(3_000)}\n`.repeat(3)}`
    for (const chunk of inChunks(utf8(stream), bytesMax)) decoder.push(chunk)
    expect(seen, 'end() from within the sink must silence the rest of the chunk').toEqual(['a'])
  })
})

describe('given a pause', () => {
  const pausing = (): { seen: string[]; decoder: SseDecoder } => {
    const seen: string[] = []
    const decoder = createSseDecoder({
      event: (_name, data) => {
        seen.push(data)
        if (data === 'pause') decoder.pause()
      },
      comment: (text) => seen.push(text),
    })
    return { seen, decoder }
  }

  test.each([1, 7, 65_536])(
    'by the last event of chunks of %i > push says so, and resume ends it',
    (bytesMax) => {
      const { seen, decoder } = pausing()
      const results = [...inChunks(utf8('data: pause\n\n'), bytesMax)].map((chunk) => decoder.push(chunk))
      expect(results.at(-1), 'push must return false when the sink paused').toBe(false)
      expect([decoder.resume(), decoder.push(utf8('data: a\n\n'))]).toEqual([true, true])
      expect(seen).toEqual(['pause', 'a'])
    },
  )

  test('a push instead of resume > is refused, and loses nothing', () => {
    const { seen, decoder } = pausing()
    expect(decoder.push(utf8('data: pause\n\ndata: a\n\ndata: b'))).toBe(false)
    expect(() => decoder.push(utf8('\n\n'))).toThrow(/Call resume\(\) first/)
    expect(seen, 'a paused decoder must call its sink no more').toEqual(['pause'])
    expect([decoder.resume(), decoder.push(utf8('\n\n'))]).toEqual([true, true])
    expect(seen).toEqual(['pause', 'a', 'b'])
  })

  test('a limit that is passed behind it > is thrown by resume, not before', () => {
    const { sink } = recorder()
    const decoder = createSseDecoder({ ...sink, comment: () => decoder.pause() }, { lineBytesMax: 8 })
    expect(decoder.push(utf8(`: a\n${'x'.repeat(9)}\n`))).toBe(false)
    expect(() => decoder.resume()).toThrow(expect.objectContaining({ code: 'sse_line_too_long' }))
    expect(() => decoder.resume()).toThrow(expect.objectContaining({ code: 'sse_line_too_long' }))
  })

  test('and the end > drops what is unread', () => {
    const { seen, decoder } = pausing()
    decoder.push(utf8('data: pause\n\ndata: a\n\n'))
    decoder.end()
    expect([decoder.resume(), decoder.push(utf8('data: b\n\n')), decoder.resume()]).toEqual([
      true,
      true,
      true,
    ])
    expect(seen, 'end() must silence the decoder').toEqual(['pause'])
  })
})

test.each([1, 7, 64, 65, 1_460, 65_536])(
  'given a long line in chunks of %i > its bytes are copied a bounded number of times',
  (bytesMax) => {
    const { reports, sink } = recorder()
    const line = utf8(`data: ${'x'.repeat(200_000)}\n\n`)
    const set = vi.spyOn(Uint8Array.prototype, 'set')
    const decoder = createSseDecoder(sink)
    for (const chunk of inChunks(line, bytesMax)) decoder.push(chunk)
    const copied = set.mock.calls.reduce((sum, [bytes]) => sum + bytes.length, 0)
    set.mockRestore()
    expect(reports, 'the line must arrive').toHaveLength(1)
    expect(copied, 'let what is held grow by doubling').toBeLessThanOrEqual(3 * line.length)
  },
)

test('given a chunk that its owner reuses > what was held is not touched', () => {
  const { reports, sink } = recorder()
  const decoder = createSseDecoder(sink)
  for (const length of [20, 200, 3_000]) {
    const chunk = utf8(`data: ${'x'.repeat(length)}`)
    decoder.push(chunk)
    chunk.fill(0x0a)
    decoder.push(utf8('\n\n'))
    expect(reports.pop(), 'copy what is held: sockets reuse their buffers').toMatchObject({
      data: 'x'.repeat(length),
    })
  }
})

test.each(['\n', '\n\n', 'x: y\n'])('given a CR, then a large chunk of %j > one line end is one', (start) => {
  const expected = decode([utf8(`data: a\r${start}data: b\n\n${': c\n'.repeat(40)}`)])
  const split = [utf8('data: a\r'), utf8(`${start}data: b\n\n${': c\n'.repeat(40)}`)]
  expect(decode(split), 'an LF right behind a CR belongs to it, in any chunk').toEqual(expected)
  const events = start === '\n\n' ? ['a', 'b'] : ['a\nb']
  const data = expected[0].flatMap((report) => (report.type === 'event' ? [report.data] : []))
  expect(data, 'CRLF ends one line').toEqual(events)
})

test('given no retry in the sink > retry lines are passed over', () => {
  const seen: string[] = []
  const decoder = createSseDecoder({ event: (_name, data) => seen.push(data), comment: () => undefined })
  decoder.push(utf8('retry: 1\ndata: a\n\n'))
  expect(seen).toEqual(['a'])
})

test.each([0, -1, 1.5, Number.NaN, Infinity])('given a limit of %d > it is refused', (lineBytesMax) => {
  const { sink } = recorder()
  expect(() => createSseDecoder(sink, { lineBytesMax })).toThrow(/must be a positive integer/)
})
