/** The body of a reply: what has come and is not read yet, in memory that is used again, and how it is read within bounds. */
import { limits, type Clock } from '@downlink/protocol'
import { giveReadBuffer, takeReadBuffer } from './read-buffers.ts'

/** How a body holds back its sender. */
export interface BodySource {
  pause(): void
  /** May bring the next bytes before it returns. */
  resume(): void
  /** Ends the connection: nobody wants the rest. */
  abort(): void
}

interface Filled {
  readonly buffer: Uint8Array<ArrayBuffer>
  bytes: number
}

/** Buffers that wait for the reader before the sender is held back; what a read brings beyond them is taken in, too. */
const WAITING_BUFFERS_MAX = 1

/** The body of a reply, for one reader: a loop, which ends the connection if it is left, or calls of `read`. */
export class ReplyBody implements AsyncIterable<Uint8Array> {
  /** Called when bytes or the end came, but not while `read` is under way; to be set by whoever reads without a loop. */
  onChange: () => void = () => {}
  private readonly source: BodySource
  private readonly waiting: Filled[] = []
  private lent: Filled | undefined
  private isPaused = false
  private isReading = false
  private ended: { readonly error?: unknown } | undefined

  constructor(source: BodySource) {
    this.source = source
  }

  /** How the body ended, with the error if it broke off; undefined while it goes on or there is something to read. */
  get end(): { readonly error?: unknown } | undefined {
    return this.waiting.length === 0 ? this.ended : undefined
  }

  /** Takes in a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    if (this.ended !== undefined) return
    append(this.waiting, chunk)
    if (this.waiting.length > WAITING_BUFFERS_MAX && !this.isPaused) {
      this.isPaused = true
      this.source.pause()
    }
    if (!this.isReading) this.onChange()
  }

  /** All has come, or it broke off. */
  finish(end: { readonly error?: unknown }): void {
    if (this.ended !== undefined) return
    this.ended = end
    if (!this.isReading) this.onChange()
  }

  /** The next bytes, or undefined if there are none now; they hold until the next call. */
  read(): Uint8Array | undefined {
    this.takeBack()
    if (this.waiting.length === 0) this.goOn()
    this.lent = this.waiting.shift()
    return this.lent?.buffer.subarray(0, this.lent.bytes)
  }

  /** Drops what has come, and ends the connection. */
  destroy(): void {
    const wasOver = this.ended !== undefined
    this.takeBack()
    for (const { buffer } of this.waiting.splice(0)) giveReadBuffer(buffer)
    this.finish({})
    if (!wasOver) this.source.abort()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined> {
    try {
      for (;;) {
        const chunk = this.read()
        if (chunk !== undefined) yield chunk
        else if (this.ended === undefined) await new Promise<void>((resolve) => (this.onChange = resolve))
        else if ('error' in this.ended) throw this.ended.error
        else return
      }
    } finally {
      this.destroy()
    }
  }

  private takeBack(): void {
    if (this.lent === undefined) return
    giveReadBuffer(this.lent.buffer)
    this.lent = undefined
  }

  private goOn(): void {
    if (!this.isPaused || this.ended !== undefined) return
    this.isPaused = false
    this.isReading = true
    this.source.resume()
    this.isReading = false
  }
}

/** The whole body as text, or undefined past `bytesMax`, when it is not read on. */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<string | undefined> {
  const kept: Filled[] = []
  let bytes = 0
  try {
    // Leaving the loop destroys the body, and with it a connection that would go on sending.
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > bytesMax) return undefined
      append(kept, chunk)
    }
    // Only now: of a body that is too large no text is made.
    const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
    const texts = kept.map((part) => utf8.decode(part.buffer.subarray(0, part.bytes), { stream: true }))
    return texts.join('') + utf8.decode()
  } finally {
    for (const { buffer } of kept) giveReadBuffer(buffer)
  }
}

/** Copies `chunk` behind what is filled. */
function append(filled: Filled[], chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length;) {
    let last = filled.at(-1)
    if (last === undefined || last.bytes === last.buffer.length) {
      last = { buffer: takeReadBuffer(), bytes: 0 }
      filled.push(last)
    }
    const part = chunk.subarray(at, at + last.buffer.length - last.bytes)
    last.buffer.set(part, last.bytes)
    last.bytes += part.length
    at += part.length
  }
}

/** What comes of an error's body within `ERROR_BODY_BYTES_MAX` and `ERROR_BODY_MS_MAX`; a dripping or broken one is cut, never waited for. */
export async function readErrorBody(body: ReplyBody, clock: Clock): Promise<string> {
  const kept = Buffer.alloc(limits.ERROR_BODY_BYTES_MAX)
  let bytes = 0
  const timer = clock.setTimer(limits.ERROR_BODY_MS_MAX, () => body.destroy())
  try {
    for await (const chunk of body) {
      const part = chunk.subarray(0, kept.length - bytes)
      kept.set(part, bytes)
      bytes += part.length
      if (bytes >= kept.length) break
    }
  } catch {
    // The status is the news; a body that breaks off adds what it could.
  } finally {
    timer.cancel()
  }
  return kept.toString('utf8', 0, bytes)
}
