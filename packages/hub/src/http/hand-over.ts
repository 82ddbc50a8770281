/** Takes the connection of a stream over from `node:http`, whose objects are most of what an idle stream costs. */
import { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Whether a request asks for a stream and nothing stands in the way of its having the connection to itself. */
export type IsStreamRequest = (request: IncomingMessage) => boolean

/**
 * A class of requests for `createServer`: to `node:http`, those of streams are upgrades. It hands over their connection with
 * its `upgrade` event then, as it does for WebSockets, and lets go of all that it had for it. Where a version of Node does
 * not ask for `upgrade`, the request arrives like any other and its stream works the same, at three times the memory.
 */
export function streamRequestClass(isStream: IsStreamRequest): typeof IncomingMessage {
  return class StreamRequest extends IncomingMessage {
    #isUpgrade: boolean | undefined

    /** Asked for twice, so the answer must not change in between. `node:http` cuts the connection of a CONNECT, as it did. */
    get upgrade(): boolean {
      return (this.#isUpgrade ??= this.method === 'CONNECT' || isStream(this))
    }

    /** An upgrade that the client asks for is none of the hub's: its request is answered as if it had not. */
    set upgrade(_: boolean | null) {}
  }
}

/** A reply that ends its connection, unless that is taken from it. */
class AloneResponse extends ServerResponse {
  ownSocket: Socket | undefined
}

/** A reply to a request that came with an `upgrade` event. Sent whole, it ends the connection; a stream takes that by {@link takeConnection}. */
export function replyAlone(request: IncomingMessage, socket: Socket): ServerResponse {
  const response = new AloneResponse(request)
  socket.setTimeout(0)
  socket.on('error', ignore)
  response.assignSocket(socket)
  response.setHeader('Connection', 'close')
  response.ownSocket = socket
  response.once('finish', endConnection)
  return response
}

function endConnection(this: AloneResponse): void {
  this.ownSocket?.destroySoon()
}

/** Whether the reply is one of {@link replyAlone}: nothing that comes after its request will be read. */
export function isAlone(response: ServerResponse): boolean {
  return response instanceof AloneResponse && response.ownSocket !== undefined
}

/**
 * Writes the head of the reply, 200 with `headers`, and hands its connection on, for a body that ends when it closes: the bytes of a frame are
 * the same for all then. The connection is corked. Undefined, with nothing written, if it is `node:http`'s.
 */
export function takeConnection(
  response: ServerResponse,
  headers: Readonly<Record<string, string>>,
): Socket | undefined {
  if (!(response instanceof AloneResponse)) return undefined
  const { ownSocket: socket } = response
  if (socket === undefined) return undefined
  response.ownSocket = undefined
  socket.cork()
  response.removeHeader('Transfer-Encoding')
  response.writeHead(200, headers)
  response.flushHeaders()
  response.detachSocket(socket)
  socket.removeListener('error', ignore)
  return socket
}

/** The `close` that follows says all. */
function ignore(): void {}
