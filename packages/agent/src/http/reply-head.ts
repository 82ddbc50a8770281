/** The head of a reply: where it ends, bounded by bytes and lines, and what it says. Taken strictly, as it comes from anybody. */
import { limits } from '@downlink/protocol'
import { HeadTooLargeError, MalformedReplyError } from './connection-errors.ts'
import type { ReplyHeaders } from './http-failure.ts'

/** What a head says. */
export interface ReplyHead {
  readonly statusCode: number
  /** Of HTTP/1.0, which keeps no connection. */
  readonly isOld: boolean
  readonly headers: ReplyHeaders
}

const PREFIX = 'HTTP/1.'
const END = '\r\n\r\n'
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t -~\x80-\xff]*)?$/
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t -~\x80-\xff]*$/
/** The exact count is taken of the headers themselves; this only keeps tiny ones from filling their bytes. */
const HEAD_LINES_MAX = 2 * limits.RESPONSE_HEADERS_MAX

/** Reads one head. */
export class HeadReader {
  /** What the head says, once all of it is here. */
  head: ReplyHead | undefined
  private text = ''

  /**
   * Reads on in `chunk` from `from`.
   * @returns where what follows the head begins, or the end of `chunk`.
   * @throws HeadTooLargeError, MalformedReplyError.
   */
  read(chunk: Uint8Array, from: number): number {
    const had = this.text.length
    // One more than is taken, so that what is too large shows.
    const count = Math.min(chunk.length - from, limits.RESPONSE_HEADER_BYTES_MAX + 1 - had)
    this.text += Buffer.from(chunk.buffer, chunk.byteOffset + from, count).toString('latin1')
    this.checkBeginning()
    const at = this.text.indexOf(END, Math.max(0, had - END.length + 1))
    const bytes = at === -1 ? this.text.length : at + END.length
    if (bytes > limits.RESPONSE_HEADER_BYTES_MAX) throw new HeadTooLargeError()
    if (at !== -1) this.head = parseHead(this.text.slice(0, at))
    return from + bytes - had
  }

  /** What speaks something else is not waited for. */
  private checkBeginning(): void {
    const isHttp = PREFIX.startsWith(this.text.slice(0, PREFIX.length))
    const line = this.text.indexOf('\n')
    if (!isHttp || (line !== -1 && this.text[line - 1] !== '\r')) {
      throw new MalformedReplyError('it does not begin with a status line of HTTP/1.1')
    }
  }
}

/** @param text - without the blank line at its end. @throws HeadTooLargeError, MalformedReplyError. */
export function parseHead(text: string): ReplyHead {
  const [statusLine = '', ...lines] = text.split('\r\n', HEAD_LINES_MAX + 2)
  if (lines.length > HEAD_LINES_MAX) throw new HeadTooLargeError()
  const status = STATUS_LINE.exec(statusLine)
  if (status === null) throw new MalformedReplyError('its status line is none')
  return { statusCode: Number(status[2]), isOld: status[1] === '0', headers: headersOf(lines) }
}

/** Those that `lines` are. @throws MalformedReplyError. */
export function headersOf(lines: readonly string[]): ReplyHeaders {
  // Without a prototype, a header may have any name.
  const headers = Object.create(null) as Record<string, string | string[]>
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    const value = line.slice(colon + 1)
    if (!NAME.test(name) || !VALUE.test(value))
      throw new MalformedReplyError('a line of its head is no header')
    add(headers, name.toLowerCase(), withoutPadding(value))
  }
  return headers
}

/** Only of what HTTP pads with: `trim` would take characters off that others keep. */
function withoutPadding(value: string): string {
  let from = 0
  let to = value.length
  while (from < to && isPadding(value[from])) from += 1
  while (to > from && isPadding(value[to - 1])) to -= 1
  return value.slice(from, to)
}

function isPadding(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function add(headers: Record<string, string | string[]>, name: string, value: string): void {
  const known = headers[name]
  if (known === undefined) headers[name] = value
  else if (typeof known === 'string') headers[name] = [known, value]
  else known.push(value)
}
