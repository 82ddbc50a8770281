/** What the client of node:http makes of a reply: the reference for ours. */
import { request } from 'node:http'
import { Duplex } from 'node:stream'

/** A reply as it was understood. Names of headers in lower case, in the order that they came in. */
export interface ReadReply {
  readonly status: number
  readonly headers: readonly (readonly [string, string])[]
  /** As latin1. */
  readonly body: string
  /** Another request may follow on the connection, for all that the head says. */
  readonly mayFollow: boolean
}

/** The reply that node:http reads out of `bytes` and the end of the connection behind them; undefined if it takes none. */
export function readByNode(bytes: Uint8Array): Promise<ReadReply | undefined> {
  const { promise, resolve } = Promise.withResolvers<ReadReply | undefined>()
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const asking = request({ createConnection: () => socket, host: 'hub.test', path: '/' })
  // From here on Node's word for whether the reply lets another request follow.
  asking.shouldKeepAlive = true
  asking.on('error', () => resolve(undefined))
  // What is spoken after a change of protocol is no reply.
  asking.on('upgrade', () => resolve(undefined))
  asking.on('response', (response) => {
    let body = ''
    response.setEncoding('latin1').on('data', (text: string) => (body += text))
    response.on('error', () => resolve(undefined))
    response.on('end', () => {
      const { statusCode = 0, rawHeaders, complete } = response
      const headers = rawHeaders.flatMap((name, index) =>
        index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1] ?? ''] as const] : [],
      )
      const mayFollow = asking.shouldKeepAlive
      resolve(complete ? { status: statusCode, headers, body, mayFollow } : undefined)
    })
  })
  asking.end()
  socket.push(bytes)
  socket.push(null)
  return promise.finally(() => socket.destroy())
}
