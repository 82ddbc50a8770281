import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { HeadTooLargeError, MalformedReplyError } from './connection-errors.ts'
import { HeadReader, parseHead } from './reply-head.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n'

/** Where the head ends, by chunk. */
function read(heads: HeadReader, ...chunks: readonly string[]): readonly number[] {
  return chunks.map((chunk) => heads.read(Buffer.from(chunk, 'latin1'), 0))
}

describe('given a head', () => {
  test('when a body comes with it > the body begins behind the blank line', () => {
    const heads = new HeadReader()
    expect(read(heads, `${HEAD}body\r\n\r\n`)).toEqual([HEAD.length])
    expect(heads.head).toEqual({
      statusCode: 200,
      isOld: false,
      headers: { 'content-type': 'text/plain' },
    })
  })

  test('when it comes in two parts, cut anywhere > it is the same', () => {
    for (let at = 1; at < HEAD.length; at += 1) {
      const heads = new HeadReader()
      expect(read(heads, HEAD.slice(0, at), `${HEAD.slice(at)}body`)).toEqual([at, HEAD.length - at])
      expect(heads.head?.headers).toEqual({ 'content-type': 'text/plain' })
    }
  })

  test('when it begins in the midst of what came > it is read from there', () => {
    const heads = new HeadReader()
    expect(heads.read(Buffer.from(`before${HEAD}behind`), 6)).toBe(6 + HEAD.length)
    expect(heads.head?.statusCode).toBe(200)
  })

  test('when headers are repeated, padded, empty or oddly named > all is there', () => {
    const { headers } = parseHead(
      'HTTP/1.1 200\r\nSet-Cookie: a\r\nset-cookie:b \t\r\n__proto__: x\r\ne:\r\nl: \xa0\xe4\xa0 ',
    )
    expect(Object.entries(headers)).toEqual([
      ['set-cookie', ['a', 'b']],
      ['__proto__', 'x'],
      ['e', ''],
      ['l', '\xa0ä\xa0'],
    ])
  })

  test('when it is of HTTP/1.0 > it is old', () => {
    expect(parseHead('HTTP/1.0 503 Busy')).toMatchObject({ statusCode: 503, isOld: true })
  })
})

describe('given a head that is none', () => {
  test.each([
    'HTTP/2.0 200 OK',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1 200 \x01',
    'HTTP/1.1 200 OK\r\nno header',
    'HTTP/1.1 200 OK\r\n: nameless',
    'HTTP/1.1 200 OK\r\na b: c',
    'HTTP/1.1 200 OK\r\na : b',
    'HTTP/1.1 200 OK\r\na: b\r\n folded',
    'HTTP/1.1 200 OK\r\na: b\nc: d',
    'HTTP/1.1 200 OK\r\na: b\rc: d',
    'HTTP/1.1 200 OK\r\na: \0',
  ])('when it is %j > it is refused', (text) => {
    expect(() => parseHead(text)).toThrow(MalformedReplyError)
  })

  test.each([
    'S',
    'SSH-2.0-x',
    'HTTQ',
    '\r\nHTTP/1.1 200 OK',
    '220 mail',
    'HTTP/1.1 200 OK\na: b',
    '\n',
    '\x15\x03',
  ])('when it begins with %j > nothing more is waited for', (text) => {
    expect(() => new HeadReader().read(Buffer.from(text), 0)).toThrow(MalformedReplyError)
  })
})

describe('given a head without end', () => {
  const start = 'HTTP/1.1 200 OK\r\nx: '

  test('when it has bytes to its bound > it is taken, and with one more it is not', () => {
    const rest = `${'x'.repeat(limits.RESPONSE_HEADER_BYTES_MAX - start.length - 4)}\r\n\r\n`
    const heads = new HeadReader()
    expect(read(heads, start, `${rest}body`)).toEqual([start.length, rest.length])
    expect(heads.head?.statusCode).toBe(200)
    expect(() => read(new HeadReader(), start, `x${rest}`)).toThrow(HeadTooLargeError)
    expect(() => read(new HeadReader(), start, 'x'.repeat(1_000_000))).toThrow(HeadTooLargeError)
  })

  test('when it has more than twice the lines of headers that are taken > it is refused', () => {
    const lines = '\r\nx:'.repeat(2 * limits.RESPONSE_HEADERS_MAX)
    expect(parseHead(`HTTP/1.1 200 OK${lines}`).headers.x).toHaveLength(2 * limits.RESPONSE_HEADERS_MAX)
    expect(() => parseHead(`HTTP/1.1 200 OK${lines}\r\nx:`)).toThrow(HeadTooLargeError)
  })
})
