import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { framingOf } from './body-framing.ts'
import { HeadTooLargeError, MalformedReplyError } from './connection-errors.ts'
import { parseHead } from './reply-head.ts'

const framing = (...headers: readonly string[]) =>
  framingOf(parseHead(['HTTP/1.1 200 OK', ...headers].join('\r\n')))
const chunked = () => framing('transfer-encoding: chunked')

/** What of `text`, cut into pieces of `size`, is body, whether it is over, and what follows it. */
function read(frames: ReturnType<typeof framingOf>, text: string, size = text.length) {
  let body = ''
  let rest = ''
  for (let from = 0; from < text.length; from += size) {
    const piece = Buffer.from(text.slice(from, from + size))
    const end = frames.isOver ? 0 : frames.read(piece, 0, (bytes) => (body += Buffer.from(bytes).toString()))
    rest += piece.subarray(end).toString()
  }
  return { body, isOver: frames.isOver, rest }
}

describe('given a body', () => {
  test('when its length is said > it ends there', () => {
    expect(read(framing('content-length: 4'), 'bodyHTTP')).toEqual({
      body: 'body',
      isOver: true,
      rest: 'HTTP',
    })
    expect(read(framing('content-length: 9'), 'body')).toMatchObject({ body: 'body', isOver: false })
    expect(framing('content-length: 0').isOver).toBe(true)
  })

  test('when nothing is said > it ends with the connection', () => {
    const frames = framing()
    expect(read(frames, 'body')).toEqual({ body: 'body', isOver: false, rest: '' })
    expect([frames.endsWithConnection, framing('content-length: 1').endsWithConnection]).toEqual([
      true,
      false,
    ])
    expect(chunked().endsWithConnection).toBe(false)
  })

  test('when its status says that there is none > it is over at once', () => {
    for (const status of [204, 304]) expect(framingOf(parseHead(`HTTP/1.1 ${status} No`)).isOver).toBe(true)
  })

  test('when it comes in chunks, cut anywhere > it is the same, and what follows is not read', () => {
    const text = '3;a\r\nabc\r\n00A;ext="1;\\"";b=c;d\r\n0123456789\r\n0;x\r\na: b\r\nc:\r\n\r\nHTTP'
    for (let size = 1; size <= text.length; size += 1) {
      expect(read(chunked(), text, size)).toEqual({ body: 'abc0123456789', isOver: true, rest: 'HTTP' })
    }
  })

  test('when it is cut into any chunks and pieces > it is whole', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[\r\n0-9a-f;]{1,40}$/)),
        fc.integer({ min: 1, max: 50 }),
        (parts, size) => {
          const text = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')
          expect(read(chunked(), `${text}0\r\n\r\n`, size)).toEqual({
            body: parts.join(''),
            isOver: true,
            rest: '',
          })
        },
      ),
    )
  })
})

describe('given a head that says in a wrong way how its body is framed', () => {
  test.each([
    ['transfer-encoding: gzip'],
    ['transfer-encoding: gzip, chunked'],
    ['transfer-encoding: chunked', 'transfer-encoding: chunked'],
    ['transfer-encoding: chunked', 'content-length: 3'],
    ['content-length: 3', 'content-length: 3'],
    ['content-length: 3, 3'],
    ['content-length: -1'],
    ['content-length: +1'],
    ['content-length: 0x1'],
    ['content-length: '],
    ['content-length: \xa03'],
    ['content-length: 99999999999999999999'],
  ])('when it is %s > it is refused', (...headers) => {
    expect(() => framing(...headers)).toThrow(MalformedReplyError)
  })

  test.each([204, 304])('when a reply of %i has no body > it is refused all the same', (status) => {
    const wrong = ['content-length: x', 'transfer-encoding: gzip', 'content-length: 1\r\ncontent-length: 1']
    for (const lines of wrong) {
      const head = parseHead(`HTTP/1.1 ${status} No\r\n${lines}`)
      expect(() => framingOf(head), `${lines} was taken; refuse it`).toThrow(MalformedReplyError)
    }
  })

  test('when HTTP/1.0 speaks of chunks > it is refused', () => {
    const head = parseHead('HTTP/1.0 200 OK\r\ntransfer-encoding: chunked')
    expect(() => framingOf(head)).toThrow(MalformedReplyError)
  })

  test.each([
    '\r\n',
    'x\r\n',
    ';\r\n',
    '-1\r\n',
    '1 \r\n',
    '1\n',
    '1\r1',
    '1;x\rx',
    '1\r\nab',
    '1\r\na\n',
    '1\r\na\rx',
    '0\r\n\n',
    '0\r\na\n',
    '0\r\na\rx',
    '00000000000001\r\n',
    '1;\r\n',
    '1; a\r\n',
    '1;a=\r\n',
    '1;a;;b\r\n',
    '1;a\nb\r\n',
    '1;a\0\r\n',
    '1;a="b\r\n',
    '1;a="b\nc"\r\n',
    '1;a="b"c\r\n',
    '1;a="\\\n"\r\n',
    '0\r\nno trailer\r\n\r\n',
    '0\r\na: \0\r\n\r\n',
    '0\r\na: b\r\n c\r\n\r\n',
    '0\r\nContent-Length: 5\r\n\r\n',
    '0\r\ntransfer-encoding: chunked\r\n\r\n',
  ])('when its chunks are %j > they are refused', (text) => {
    expect(() => read(chunked(), text)).toThrow(MalformedReplyError)
  })

  test('when its trailers have bytes to the bound of a head > they are taken, and with one more they are not', () => {
    const trailer = `a: ${'x'.repeat(limits.RESPONSE_HEADER_BYTES_MAX - 7)}\r\n\r\n`
    expect(read(chunked(), `0\r\n${trailer}`).isOver).toBe(true)
    expect(() => read(chunked(), `0\r\nx${trailer}`)).toThrow(HeadTooLargeError)
  })
})
