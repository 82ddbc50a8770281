/** What the encoder writes, byte for byte, and what it refuses. */
import { describe, expect, test } from 'vitest'
import { SSE_DATA_LINE_BYTES_MAX, SSE_EVENT_BYTES_MAX } from '../limits.ts'
import { createSseDecoder } from './decode.ts'
import { encodeSseComment, encodeSseEvent, encodeSseRetry } from './encode.ts'

const textOf = (frame: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(frame)

describe('given an event', () => {
  test.each([
    ['name and data', { event: 'sync', data: '{}' }, 'event: sync\ndata: {}\n\n'],
    ['all fields', { event: 'x', data: 'a', id: '7', retryMs: 5 }, 'event: x\nid: 7\nretry: 5\ndata: a\n\n'],
    ['an empty id', { event: 'x', data: 'a', id: '' }, 'event: x\nid: \ndata: a\n\n'],
    [
      'every line end',
      { event: 'x', data: 'a\nb\rc\r\nd\n' },
      'event: x\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n',
    ],
    ['leading spaces', { event: ' x', data: ' a', id: ' 1' }, 'event:  x\nid:  1\ndata:  a\n\n'],
    ['lone surrogates', { event: 'x', data: '\ud800a\udc00' }, 'event: x\ndata: \ufffda\ufffd\n\n'],
  ])('%s > is one block, ended by an empty line', (_what, frame, expected) => {
    expect(textOf(encodeSseEvent(frame)), 'originals depend on these very bytes').toBe(expected)
  })

  test.each([
    ['blank data', { event: 'sync', data: '' }, /blank.*Send `\{\}`/],
    ['data of spaces and line ends', { event: 'sync', data: ' \r\n\t' }, /blank.*Send `\{\}`/],
    ['an empty name', { event: '', data: '{}' }, /empty name.*`message`/],
    ['LF in the name', { event: 'a\ndata: b', data: '{}' }, /CR, LF or NUL.*Take it out/],
    ['CR in the name', { event: 'a\rb', data: '{}' }, /CR, LF or NUL/],
    ['NUL in the name', { event: 'a\0', data: '{}' }, /CR, LF or NUL/],
    ['LF in the id', { event: 'a', data: '{}', id: '1\n' }, /id.*CR, LF or NUL/],
    ['CR in the id', { event: 'a', data: '{}', id: '\r1' }, /id.*CR, LF or NUL/],
    ['NUL in the id', { event: 'a', data: '{}', id: '\0' }, /id.*CR, LF or NUL/],
    ['a fraction of a ms', { event: 'a', data: '{}', retryMs: 1.5 }, /not an integer/],
    ['too long a line', { event: 'a', data: 'x'.repeat(256_001) }, /256001 bytes; 256000 fit.*Split/],
    ['too long a name', { event: 'x'.repeat(256_001), data: '{}' }, /256001 bytes; 256000 fit/],
    ['too long an id', { event: 'a', data: '{}', id: 'x'.repeat(256_001) }, /256001 bytes; 256000 fit/],
    ['too many lines', { event: 'a', data: `a${'\n'.repeat(65_533)}` }, /65534 lines; 65533 fit.*Split/],
    ['too much data', { event: 'a', data: `${'x'.repeat(1_023)}\n`.repeat(1_025) }, /1048576 fit.*Split/],
  ])('%s > is refused, with the remedy', (_what, frame, message) => {
    expect(() => encodeSseEvent(frame)).toThrow(
      expect.objectContaining({
        name: 'SseEncodeError',
        code: 'sse_encode_refused',
        message: expect.stringMatching(message),
      }),
    )
  })

  test.each([
    ['ASCII', 'x'.repeat(SSE_DATA_LINE_BYTES_MAX), 'x'],
    ['two bytes', 'é'.repeat(SSE_DATA_LINE_BYTES_MAX / 2), 'x'],
    ['three bytes', `${'漢'.repeat(85_333)}x`, 'x'],
    ['four bytes', '🙂'.repeat(SSE_DATA_LINE_BYTES_MAX / 4), 'x'],
    ['lone surrogates', `${'\ud800'.repeat(85_333)}x`, 'x'],
    [
      'lines',
      Array.from({ length: 16 }, () => 'x'.repeat(65_535))
        .join('\n')
        .concat('x'),
      'x',
    ],
    ['many lines', `a${'\n'.repeat(65_532)}`, '\n'],
  ])('data of %s at its limit > our decoder reads it; one more is refused', (_what, data, more) => {
    let decoded = ''
    const decoder = createSseDecoder({
      event: (_name, value) => (decoded = value),
      comment: () => undefined,
    })
    decoder.push(encodeSseEvent({ event: 'command', data, id: '1', retryMs: 1 }))
    expect(decoded.length, 'the limits of encoder and decoder must agree').toBe(data.length)
    expect(() => encodeSseEvent({ event: 'command', data: data + more })).toThrow(/fit\. Split/)
  })

  test('a long name > is cut in the error', () => {
    const refused = (): Uint8Array => encodeSseEvent({ event: 'x'.repeat(1_000), data: '' })
    expect(refused).toThrow(/"x{64}…"/)
  })
})

test('given the constants > the largest event is made of whole lines', () => {
  expect(SSE_EVENT_BYTES_MAX % 16, 'the case `lines` above divides it').toBe(0)
})

describe('given a comment', () => {
  test.each([
    ['hb', ': hb\n\n'],
    ['connected hb=15000', ': connected hb=15000\n\n'],
    ['', ':\n\n'],
    ['a\nb\r\nc\rd', ': a\n: b\n: c\n: d\n\n'],
    ['a\n', ': a\n:\n\n'],
    ['data: x\n\nevent: y', ': data: x\n:\n: event: y\n\n'],
    ['\ud800', ': \ufffd\n\n'],
  ])('%j > each of its lines is a comment', (text, expected) => {
    expect(textOf(encodeSseComment(text)), 'no line may leave the comment').toBe(expected)
  })

  test('a line past the limit > is refused', () => {
    expect(() => encodeSseComment(`a\n${'x'.repeat(256_001)}`)).toThrow(/A comment has 256001 bytes/)
  })
})

describe('given a retry', () => {
  test.each([0, 2_000, 2 ** 31 - 1])('%d > is written in digits', (retryMs) => {
    expect(textOf(encodeSseRetry(retryMs))).toBe(`retry: ${retryMs}\n\n`)
  })

  test.each([-1, 0.5, 2 ** 31, Number.NaN, Infinity])('%d > is refused', (retryMs) => {
    expect(() => encodeSseRetry(retryMs)).toThrow(/not an integer from 0 to 2147483647 ms/)
  })
})
