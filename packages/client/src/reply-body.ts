/** Reads the body of a reply within a bound of bytes, so that no server can grow its client. */
import { DownlinkError } from '@downlink/protocol'

/**
 * The whole body as text.
 * @throws DownlinkError `reply_too_large` past `bytesMax`, without reading on.
 */
export async function readBody(response: Response, bytesMax: number): Promise<string> {
  const { bytes, isCut } = await readBytes(response, bytesMax)
  if (isCut) {
    throw new DownlinkError(
      'reply_too_large',
      `The hub's reply is larger than ${bytesMax} bytes and was not read further. Ask for smaller pages.`,
      { retry: 'never' },
    )
  }
  return new TextDecoder().decode(bytes)
}

/** The first `bytesMax` bytes of an error's body; a broken one is cut where it broke. */
export async function readErrorBody(response: Response, bytesMax: number): Promise<string> {
  try {
    const { bytes } = await readBytes(response, bytesMax)
    return new TextDecoder().decode(bytes)
  } catch {
    // The status is the news.
    return ''
  }
}

async function readBytes(
  response: Response,
  bytesMax: number,
): Promise<{ readonly bytes: Uint8Array; readonly isCut: boolean }> {
  const body: ReadableStream<Uint8Array> | null = response.body
  const reader = body?.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    while (reader !== undefined && size <= bytesMax) {
      const { done, value } = await reader.read()
      if (done) break
      chunks.push(value)
      size += value.length
    }
  } finally {
    // Also ends the connection of a body that would go on.
    await reader?.cancel().catch(() => undefined)
  }
  return { bytes: joined(chunks, Math.min(size, bytesMax)), isCut: size > bytesMax }
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    const part = chunk.subarray(0, size - at)
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
