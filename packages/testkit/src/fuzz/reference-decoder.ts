/** An event stream decoded by the words of the standard, a byte at a time, with no regard to speed: what the real decoder is compared with. */
import { limits, type SseLimits } from '@downlink/protocol'

/** One thing that a decoder reports, in its order. */
export type SseReport =
  | { readonly type: 'event'; readonly name: string; readonly data: string; readonly lastEventId: string }
  | { readonly type: 'comment'; readonly text: string }
  | { readonly type: 'retry'; readonly retryMs: number }
  | { readonly type: 'error'; readonly code: string }

/** All that a stream reports; an error ends it. */
export function decodeByTheStandard(bytes: Uint8Array, bounds: SseLimits): readonly SseReport[] {
  const reports: SseReport[] = []
  const block = new ReferenceBlock(bounds, reports)
  const hasBom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  let line: number[] = []
  let wasCr = false
  for (const byte of bytes.subarray(hasBom ? 3 : 0)) {
    if (byte === 0x0a && wasCr) {
      wasCr = false
      continue
    }
    wasCr = byte === 0x0d
    if (byte === 0x0a || byte === 0x0d) {
      const code = block.read(line)
      if (code !== undefined) return [...reports, { type: 'error', code }]
      line = []
    } else {
      line.push(byte)
      if (line.length > bounds.lineBytesMax) return [...reports, { type: 'error', code: 'sse_line_too_long' }]
    }
  }
  return reports
}

class ReferenceBlock {
  private readonly bounds: SseLimits
  private readonly reports: SseReport[]
  private lines = 0
  private bytes = 0
  private data: string[] = []
  private dataBytes = 0
  private name = ''
  private lastEventId = ''

  constructor(bounds: SseLimits, reports: SseReport[]) {
    this.bounds = bounds
    this.reports = reports
  }

  /** Returns the code of the bound that the line passes, if it does. */
  read(line: readonly number[]): string | undefined {
    if (line.length === 0) {
      this.dispatch()
      return undefined
    }
    const colon = line.indexOf(0x3a)
    if (colon !== 0 || this.lines > 0) {
      this.lines += 1
      this.bytes += line.length + 1
      if (this.lines > this.bounds.blockLinesMax) return 'sse_block_too_many_lines'
      if (this.bytes > this.bounds.blockBytesMax) return 'sse_block_too_large'
    }
    const field = text(colon === -1 ? line : line.slice(0, colon))
    const start = colon === -1 ? line.length : line[colon + 1] === 0x20 ? colon + 2 : colon + 1
    return this.take(colon === 0 ? 'comment' : field, line.slice(start), colon === 0)
  }

  private take(field: string, bytes: readonly number[], isComment: boolean): string | undefined {
    const value = text(bytes)
    if (isComment) this.reports.push({ type: 'comment', text: value })
    else if (field === 'event') this.name = value
    else if (field === 'id' && !value.includes('\0')) this.lastEventId = value
    else if (field === 'retry' && /^[0-9]+$/.test(value)) {
      this.reports.push({ type: 'retry', retryMs: Math.min(limits.SSE_RETRY_MS_MAX, Number(value)) })
    } else if (field === 'data') {
      this.dataBytes += this.data.length === 0 ? bytes.length : bytes.length + 1
      this.data.push(value)
      if (this.dataBytes > this.bounds.eventBytesMax) return 'sse_event_too_large'
    }
    return undefined
  }

  private dispatch(): void {
    if (this.data.length > 0) {
      const data = this.data.join('\n')
      this.reports.push({ type: 'event', name: this.name || 'message', data, lastEventId: this.lastEventId })
    }
    this.lines = 0
    this.bytes = 0
    this.data = []
    this.dataBytes = 0
    this.name = ''
  }
}

function text(bytes: readonly number[]): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes))
}
