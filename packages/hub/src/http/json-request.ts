/** Reads a JSON body within its bounds. */
import type { IncomingMessage } from 'node:http'
import { isJsonObject, limits, parseJson, type JsonObject } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { takenBody } from './taken-body.ts'

/**
 * The body as a JSON object.
 * @throws HubError `body_too_large`, `bad_json`, `unsupported_media_type`; and `bad_request` if the sender went away.
 */
export async function readJsonObject(request: IncomingMessage, bytesMax: number): Promise<JsonObject> {
  assertNotCompressed(request)
  const text = await readText(request, bytesMax)
  const value = parseJson(text, limits.JSON_DEPTH_MAX)
  if (!isJsonObject(value)) {
    throw new HubError(
      'bad_json',
      `The body must be a JSON object, nested no deeper than ${limits.JSON_DEPTH_MAX}. Correct it and send it again.`,
    )
  }
  return value
}

/** @throws HubError `unsupported_media_type`: a small body must not become a large one. */
export function assertNotCompressed(request: IncomingMessage): void {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding === 'identity') return
  throw new HubError('unsupported_media_type', 'Compressed bodies are not read. Send the JSON as it is.')
}

async function readText(request: IncomingMessage, bytesMax: number): Promise<string> {
  const tooLarge = (): HubError =>
    new HubError('body_too_large', `The body is larger than ${bytesMax} bytes. Send less at a time.`)
  const taken = takenBody(request)
  if (taken !== undefined) {
    if (taken.length > bytesMax) throw tooLarge()
    return taken.toString('utf8')
  }
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge()
  return readBody(request, bytesMax, tooLarge)
}

/** By listeners, as an iterator of the stream would cost more than all else that is done with a small body. */
function readBody(request: IncomingMessage, bytesMax: number, tooLarge: () => HubError): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const endedEarly = (cause?: unknown): void =>
      reject(new HubError('bad_request', 'The body ended early. Send it again.', { cause }))
    const take = (chunk: Buffer): void => {
      bytes += chunk.length
      chunks.push(chunk)
      if (bytes <= bytesMax) return
      // What still comes is thrown away, as far as the guard lets it.
      request.off('data', take)
      chunks.length = 0
      reject(tooLarge())
    }
    // It tells of its end only once.
    if (request.destroyed) return endedEarly()
    request.on('data', take)
    request.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    request.once('error', endedEarly)
    request.once('close', endedEarly)
  })
}
