/** Bodies that the server around the hub has read before it, as Express does where `express.json()` stands first. */
import type { IncomingMessage } from 'node:http'
import { HubError } from '../hub-error.ts'

/**
 * The bytes of a body that somebody else has read and left in `request.body`, where Express and Next leave it.
 * @returns undefined if nobody has read of it yet.
 * @throws HubError `not_supported_here` if it is gone, `bad_json` if it cannot be written as JSON again.
 */
export function takenBody(request: IncomingMessage & { readonly body?: unknown }): Buffer | undefined {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers
  const isAnnounced = encoding !== undefined || length !== '0'
  if (!isAnnounced || !(request.readableDidRead || request.readableEnded)) return undefined
  const { body } = request
  if (body === undefined) {
    throw new HubError(
      'not_supported_here',
      'The server around the hub has read the body of this request and kept it. Give hub.handler the request before anything that parses bodies, or leave what was parsed in request.body.',
    )
  }
  if (typeof body === 'string' || body instanceof Uint8Array) return Buffer.from(body)
  try {
    return Buffer.from(JSON.stringify(body))
  } catch (error) {
    throw new HubError('bad_json', 'The body is nested too deeply. Send it flatter.', { cause: error })
  }
}
