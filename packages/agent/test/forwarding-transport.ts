/** An agent transport to a real hub with the faults of a test hub, so that one list of scenarios fits both. */
import { request as requestHttp, type IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { AgentTransport } from '../src/index.ts'

export interface ForwardingTransport extends AgentTransport {
  readonly faults: { lostPushes: number; doubledPushes: number; lostReplies: number }
  dropStream(): void
}

export function createForwardingTransport(): ForwardingTransport {
  const faults = { lostPushes: 0, doubledPushes: 0, lostReplies: 0 }
  const streams = new Set<Readable>()

  /** Frame by frame, so that a fault meets whole command frames and nothing else. */
  async function* withFaults(reply: IncomingMessage): AsyncGenerator<string> {
    let rest = ''
    for await (const chunk of reply.setEncoding('utf8') as AsyncIterable<string>) {
      const frames = `${rest}${chunk}`.split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        const isCommand = frame.includes('event: command')
        if (isCommand && faults.lostPushes > 0) {
          faults.lostPushes--
          continue
        }
        yield `${frame}\n\n`
        if (isCommand && faults.doubledPushes > 0) {
          faults.doubledPushes--
          yield `${frame}\n\n`
        }
      }
    }
  }

  return {
    faults,
    dropStream() {
      for (const stream of streams) {
        stream.destroy(Object.assign(new Error('The test dropped the stream.'), { code: 'ECONNRESET' }))
      }
    },
    async request({ origin, method, path, headers, body, signal }) {
      const request = requestHttp(new URL(path, origin), { method, headers, signal, agent: false })
      request.end(body)
      const [reply] = (await once(request, 'response')) as [IncomingMessage]
      const status = reply.statusCode ?? 0
      const replyHeaders = { 'content-type': reply.headers['content-type'] ?? '' }
      if (!path.endsWith('/events') || status !== 200) {
        const replyBody = await text(reply)
        if (path.endsWith('/sync') && faults.lostReplies > 0) {
          faults.lostReplies--
          throw Object.assign(new Error('The test lost this reply.'), { code: 'ECONNRESET' })
        }
        return { status, headers: replyHeaders, body: replyBody }
      }
      reply.on('error', () => undefined)
      const stream = Readable.from(withFaults(reply), { objectMode: false })
      streams.add(stream)
      stream.once('close', () => {
        streams.delete(stream)
        reply.destroy()
      })
      stream.on('error', () => undefined)
      return { status, headers: replyHeaders, body: stream }
    },
  }
}
