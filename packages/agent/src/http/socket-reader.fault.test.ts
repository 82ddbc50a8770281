import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { clientOf, SYNC, tcpServer } from '../../test/servers.ts'
import { openEventStream } from '../stream/event-stream.ts'

const EVENTS = 6_000
/** As much as a read brings, so that the next ones overwrite what is not taken in time. */
const text = (index: number): string => `${index}:${'abcdefghij'.repeat(1 + (index % 90))}`
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: '

async function write(socket: Socket, parts: Iterable<string>): Promise<void> {
  for (const part of parts) await new Promise((resolve) => socket.write(part, resolve))
}

function* events(chunked: boolean): Iterable<string> {
  for (let index = 0; index < EVENTS; index += 1) {
    const event = `event: note\ndata: ${text(index)}\n\n`
    yield chunked ? `${event.length.toString(16)}\r\n${event}\r\n` : event
  }
  if (chunked) yield '0\r\n\r\n'
}

/** Answers every request with the parts that `answer` gives. */
function server(answer: () => Iterable<string>) {
  return tcpServer((socket) =>
    socket.on('data', () => {
      void write(socket, answer()).then(() => socket.end())
    }),
  )
}

describe('given memory that is read into again and again', () => {
  test.each([
    ['in chunks', true],
    ['until the end of the connection', false],
  ])('when a stream comes %s and its reader lags > each event is as it was sent', async (_, chunked) => {
    const transfer = chunked ? 'transfer-encoding: chunked\r\n' : ''
    const { url } = await server(function* () {
      yield `${HEAD}text/event-stream\r\n${transfer}\r\n`
      yield* events(chunked)
    })
    const { client } = clientOf([url])
    const stream = await openEventStream(client)
    let next = 0
    for await (const event of stream) {
      if (event.type !== 'unknown' || event.data !== text(next)) {
        expect(event, 'what waits for its reader was overwritten').toEqual({
          type: 'unknown',
          event: 'note',
          data: text(next),
        })
      }
      next += 1
      if (next % 20 === 0) await turn()
    }
    expect(next).toBe(EVENTS)
    expect(await stream.closed).toEqual({ reason: 'ended' })
  })

  test('when a reply comes byte by byte > its head and body are whole', async () => {
    const body = '{"controls":[],"newTasks":[{"id":"t1"}],"watching":true}'
    const reply = `${HEAD}application/json\r\nx-pad: ${'p'.repeat(200)}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const { url } = await server(() => reply)
    const { client } = clientOf([url])
    expect(await client.sync(SYNC)).toMatchObject({ newTasks: [{ id: 't1' }], watching: true })
  })

  test('when a reply takes many reads > it is whole', async () => {
    const acked = Array.from({ length: 512 }, (_, index) => `a~${index}`)
    const body = JSON.stringify({ padding: 'ä'.repeat(400_000), acked })
    const { url } = await server(() => [`${HEAD}application/json\r\n\r\n${body}`])
    const { client } = clientOf([url])
    expect((await client.sync(SYNC)).acked).toEqual(acked)
  })
})
