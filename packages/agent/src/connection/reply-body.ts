/** The body of a reply: what has come and is not read yet, in memory that is used again, and how it is read within bounds. */
import { limits, type Clock } from '@downlink/protocol'
import { giveReadBuffer, takeReadBuffer } from './read-buffers.ts'

/** The body of a reply, for one loop; leaving the loop ends the connection. A chunk holds until the next one is asked for. */
export interface BodyReader extends AsyncIterable<Uint8Array> {
  /** Ends the connection: nobody wants the rest. */
  destroy(): void
}

/** How a body holds back its sender. */
export interface BodySource {
  pause(): void
  resume(): void
  /** Ends the connection: nobody wants the rest. */
  abort(): void
}

interface Filled {
  readonly buffer: Uint8Array<ArrayBuffer>
  bytes: number
}

/** Bytes that wait for the reader before the sender is held back; what a read brings beyond it is taken in, too. */
const WAITING_BUFFERS_MAX = 1

/** The body of a reply that comes over a socket. */
export class ReplyBody implements BodyReader {
  private readonly source: BodySource
  private readonly waiting: Filled[] = []
  private lent: Filled | undefined
  private isPaused = false
  private end: { readonly error?: unknown } | undefined
  private changed = Promise.withResolvers<void>()

  constructor(source: BodySource) {
    this.source = source
  }

  /** Takes in a copy of `chunk`. */
  push(chunk: Uint8Array): void {
    if (this.end !== undefined) return
    for (let at = 0; at < chunk.length;) {
      const last = this.roomy()
      const part = chunk.subarray(at, at + last.buffer.length - last.bytes)
      last.buffer.set(part, last.bytes)
      last.bytes += part.length
      at += part.length
    }
    if (this.waiting.length > WAITING_BUFFERS_MAX && !this.isPaused) {
      this.isPaused = true
      this.source.pause()
    }
    this.changed.resolve()
  }

  /** All has come, or it broke off. */
  finish(end: { readonly error?: unknown }): void {
    this.end ??= end
    this.changed.resolve()
  }

  /** Drops what has come, and ends the connection. */
  destroy(): void {
    const wasOver = this.end !== undefined
    this.finish({})
    for (const { buffer } of this.waiting.splice(0)) giveReadBuffer(buffer)
    if (!wasOver) this.source.abort()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, undefined> {
    try {
      for (;;) {
        const next = this.waiting.shift()
        if (next !== undefined) {
          this.lent = next
          yield next.buffer.subarray(0, next.bytes)
          this.takeBack()
          this.goOn()
        } else if (this.end !== undefined) {
          if ('error' in this.end) throw this.end.error
          return
        } else {
          this.changed = Promise.withResolvers<void>()
          await this.changed.promise
        }
      }
    } finally {
      this.takeBack()
      this.destroy()
    }
  }

  private roomy(): Filled {
    const last = this.waiting.at(-1)
    if (last !== undefined && last.bytes < last.buffer.length) return last
    const next = { buffer: takeReadBuffer(), bytes: 0 }
    this.waiting.push(next)
    return next
  }

  private takeBack(): void {
    if (this.lent === undefined) return
    giveReadBuffer(this.lent.buffer)
    this.lent = undefined
  }

  private goOn(): void {
    if (!this.isPaused || this.waiting.length > 0 || this.end !== undefined) return
    this.isPaused = false
    this.source.resume()
  }
}

/** The whole body as text, or undefined past `bytesMax`, when it is not read on. */
export async function readBody(
  body: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<string | undefined> {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  let text = ''
  let bytes = 0
  // Leaving the loop destroys the body, and with it a connection that would go on sending.
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > bytesMax) return undefined
    text += utf8.decode(chunk, { stream: true })
  }
  return text + utf8.decode()
}

/** What comes of an error's body within `ERROR_BODY_BYTES_MAX` and `ERROR_BODY_MS_MAX`; a dripping or broken one is cut, never waited for. */
export async function readErrorBody(body: BodyReader, clock: Clock): Promise<string> {
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
