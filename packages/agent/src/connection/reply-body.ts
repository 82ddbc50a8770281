/** Reads the body of a reply within bounds of bytes and time. */
import { DownlinkError, limits, type Clock } from '@downlink/protocol'
import type { Readable } from 'node:stream'

/**
 * The whole body as text.
 * @throws DownlinkError `reply_too_large` past `bytesMax`, without reading on.
 */
export async function readBody(body: Readable, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // Leaving the loop destroys the body, and with it a connection that would go on sending.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      throw new DownlinkError(
        'reply_too_large',
        `The hub's reply is larger than ${bytesMax} bytes and was not read further. The hub must split it.`,
      )
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What comes of an error's body within `ERROR_BODY_BYTES_MAX` and `ERROR_BODY_MS_MAX`; a dripping or broken one is cut, never waited for. */
export async function readErrorBody(body: Readable, clock: Clock): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  const timer = clock.setTimer(limits.ERROR_BODY_MS_MAX, () => body.destroy())
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes >= limits.ERROR_BODY_BYTES_MAX) break
    }
  } catch {
    // The status is the news; a body that breaks off adds what it could.
  } finally {
    timer.cancel()
  }
  return Buffer.concat(chunks).subarray(0, limits.ERROR_BODY_BYTES_MAX).toString('utf8')
}

/** Ends the connection of a reply whose body nobody wants. */
export function discardBody(body: Readable): void {
  body.on('error', () => {})
  body.destroy()
}
