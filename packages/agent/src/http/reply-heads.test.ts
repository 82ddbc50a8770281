import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { ReplyHeads } from './reply-heads.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n'

/** Where bodies begin, by chunk; undefined for a head that is too large. */
function scan(...chunks: readonly string[]): (number | undefined)[] {
  const heads = new ReplyHeads()
  return chunks.map((chunk) => {
    heads.scan(Buffer.from(chunk), chunk.length)
    return heads.isTooLarge ? undefined : heads.bodyAt
  })
}

describe('given a reply', () => {
  test('when head and body come together > the body begins behind the blank line', () => {
    expect(scan(`${HEAD}body\r\n\r\n`)).toEqual([HEAD.length])
  })

  test('when it is cut anywhere > the body begins at the same place', () => {
    const text = `${HEAD}body`
    for (let at = 1; at < text.length; at += 1) {
      const [first, second] = scan(text.slice(0, at), text.slice(at))
      expect(Math.max(first ?? -1, at < HEAD.length ? at + (second ?? -1) : 0), `cut at ${at}`).toBe(
        HEAD.length,
      )
      expect(second).toBe(Math.max(0, HEAD.length - at))
    }
  })

  test('when its lines end in LF alone > the head ends all the same', () => {
    expect(scan('HTTP/1.1 200 OK\na: b\n\nbody')).toEqual([22])
  })

  test('when interim replies come first > they belong to the head', () => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n'
    expect(scan(`${interim}${interim}${HEAD}body`)).toEqual([2 * interim.length + HEAD.length])
    expect(scan(interim, HEAD, 'body')).toEqual([interim.length, HEAD.length, 0])
  })

  test('when a request follows > a head comes next', () => {
    const heads = new ReplyHeads()
    const text = Buffer.from(`${HEAD}body`)
    heads.scan(text, text.length)
    heads.scan(text, text.length)
    expect(heads.bodyAt, 'all of it is body').toBe(0)
    heads.begin()
    heads.scan(text, text.length)
    expect(heads.bodyAt).toBe(HEAD.length)
  })
})

describe('given a head without end', () => {
  const start = 'HTTP/1.1 200 OK\r\n'

  test('when it has bytes to its bound > it is taken, and with one more it is not', () => {
    const rest = limits.RESPONSE_HEADER_BYTES_MAX - start.length
    expect(scan(start, 'x'.repeat(rest))).toEqual([start.length, rest])
    expect(scan(start, 'x'.repeat(rest + 1))).toEqual([start.length, undefined])
    expect(scan(start, ' '.repeat(rest), '\r')).toEqual([start.length, rest, undefined])
  })

  test('when it has more than twice the lines of headers that are taken > it is cut before its bytes are', () => {
    const lines = 2 * limits.RESPONSE_HEADERS_MAX
    expect(scan('x\r\n'.repeat(lines))).toEqual([3 * lines])
    expect(scan('x\r\n'.repeat(lines + 1))).toEqual([undefined])
  })

  test('when interim replies have no end > each one is bounded by itself', () => {
    const interim = `HTTP/1.1 100 Continue\r\nx: ${'y'.repeat(10_000)}\r\n\r\n`
    expect(scan(interim, interim, interim)).toEqual(Array.from({ length: 3 }, () => interim.length))
  })
})
