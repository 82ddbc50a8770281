/** Bytes of HTTP replies: right ones, ones that say two things at once, and both with bytes made wrong. */
import type { Chance } from './chance.ts'
import { mutated } from './stream-bytes.ts'

const STATUS_LINES = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 503 \xe9 busy',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 101 Switching Protocols',
  'HTTP/1.1 099 Low',
  'HTTP/1.1  200 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/2.0 200 OK',
  'http/1.1 200 OK',
  '\r\nHTTP/1.1 200 OK',
  'HTTP/1.1 200 \x01',
] as const
const HEADERS = [
  'content-type: application/json',
  'Set-Cookie: a=b',
  'set-cookie:c \t',
  'connection: close',
  'connection: keep-alive, Upgrade',
  'upgrade: x',
  'keep-alive: timeout=9',
  'x:',
  'x: \xa0y\xa0',
  'x: y\x0b',
  '__proto__: z',
  'trailer: x',
  'x : y',
  ' folded',
  'no header',
  ': nameless',
  'x: \0',
  'x: a\rb',
  'x: a\nb: c',
] as const
const FRAMINGS = [
  'transfer-encoding: gzip, chunked',
  'transfer-encoding: chunked, gzip',
  'transfer-encoding: chunked\r\ntransfer-encoding: chunked',
  'transfer-encoding: Chunked ',
  'transfer-encoding: xchunked',
  'transfer-encoding: \x0bchunked',
  'transfer-encoding : chunked',
  'transfer-encoding: identity',
  'content-length: 3\r\ncontent-length: 3',
  'content-length: 3, 3',
  'content-length: 3\r\ntransfer-encoding: chunked',
  'transfer-encoding: chunked\r\ncontent-length: 3',
  'content-length: +3',
  'content-length: -3',
  'content-length: 0x3',
  'content-length: 003',
  'content-length: 00000000000000000003',
  'content-length: 3 3',
  'content-length: \xa03',
  'content-length: 99999999999999999999',
  'content-length: 18446744073709551619',
  'content-length:',
] as const
const SIZES = [
  '1 ',
  ' 1',
  '+1',
  '-1',
  '0x1',
  '00001',
  '0000000000000001',
  'g',
  '',
  'fffffffffffffffff',
] as const
const EXTENSIONS = [
  ';a',
  ';a=b',
  ';a="b;\\"c"',
  ';a=b;c',
  ';',
  '; a',
  ';a=',
  ';a;;b',
  ';a\nb',
  ';\0',
  ';a="b',
  ';a="\xe9"',
] as const
const TRAILERS = ['x: y', 'x:', 'no trailer', 'content-length: 5', 'x: \0', ' x', 'x: y\nz: a'] as const
const LINE_ENDS = ['\n', '\r', '\r\r\n', '\n\r'] as const

/** Bytes of one reply, most often of one that means something. */
export function replyBytes(chance: Chance): Uint8Array {
  const bytes = Buffer.from(reply(chance), 'latin1')
  return chance.oneIn(3) ? mutated(chance, bytes) : bytes
}

function reply(chance: Chance): string {
  let interim = ''
  for (let left = chance.oneIn(6) ? chance.below(12) : 0; left > 0; left -= 1) {
    const status = chance.pick(['100 Continue', '103 Early Hints', '199 x', '100'])
    interim += head(chance, `HTTP/1.1 ${status}`, chance.oneIn(4) ? ['content-length: 3'] : [])
  }
  const line = chance.oneIn(3) ? chance.pick(STATUS_LINES) : STATUS_LINES[0]
  const text = body(chance)
  if (chance.oneIn(4)) {
    const sent = chance.oneIn(2) ? text : chunked(chance, text)
    return interim + head(chance, line, [chance.pick(FRAMINGS)]) + sent
  }
  switch (chance.below(3)) {
    case 0:
      return interim + head(chance, line, []) + text
    case 1:
      return interim + head(chance, line, [`Content-Length: ${text.length}`]) + text
    default:
      return interim + head(chance, line, ['Transfer-Encoding: chunked']) + chunked(chance, text)
  }
}

function head(chance: Chance, statusLine: string, framing: readonly string[]): string {
  const lines = [...framing]
  for (let left = chance.size(8); left > 0; left -= 1) {
    // Most often one of the right ones, which stand first.
    const header = chance.oneIn(8) ? chance.pick(HEADERS) : (HEADERS[chance.below(8)] ?? HEADERS[0])
    lines.splice(chance.below(lines.length + 1), 0, header)
  }
  if (chance.oneIn(200)) lines.push(`long: ${'x'.repeat(16_000 + chance.below(800))}`)
  return [statusLine, ...lines, '', ''].join(chance.oneIn(40) ? chance.pick(LINE_ENDS) : '\r\n')
}

function body(chance: Chance): string {
  if (chance.oneIn(4)) return 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'
  return Buffer.from(chance.bytes(chance.size(600))).toString('latin1')
}

function chunked(chance: Chance, text: string): string {
  let out = ''
  for (let at = 0; at < text.length;) {
    const part = text.slice(at, at + 1 + chance.below(60))
    const size = chance.oneIn(30) ? chance.pick(SIZES) : part.length.toString(16)
    const end = chance.oneIn(60) ? chance.pick(LINE_ENDS) : '\r\n'
    out += `${size}${chance.oneIn(6) ? chance.pick(EXTENSIONS) : ''}\r\n${part}${end}`
    at += part.length
  }
  let trailers = ''
  for (let left = chance.oneIn(3) ? chance.size(3) : 0; left > 0; left -= 1) {
    trailers += `${chance.pick(TRAILERS)}\r\n`
  }
  const rest = chance.oneIn(6) ? chance.pick(['HTTP/1.1 200 OK\r\n\r\n', '\r\n', 'x']) : ''
  return `${out}${chance.pick(['0', '0', '000'])}\r\n${trailers}\r\n${rest}`
}
