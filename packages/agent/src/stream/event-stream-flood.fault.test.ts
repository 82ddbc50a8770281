/** What a stream does while far more comes than its consumer takes. */
import { limits, type DownlinkEvent } from '@downlink/protocol'
import { createServer } from 'node:http'
import { describe, expect, test, vi } from 'vitest'
import { clientOf, listen } from '../../test/servers.ts'
import { openEventStream, type EventStream } from './event-stream.ts'

const FLOOD_BYTES = 16_777_216
const FRAME = 'event: sync\ndata: {"reason":"flood"}\n\n'
/** libuv reads a socket so often at most before it turns, if each read fills its buffer and the consumer takes it at once. */
const READS_PER_TURN = 32
/** What may be read before the event loop turns: those, and what waited in memory. */
const TURN_BYTES = (READS_PER_TURN + 2) * limits.READ_BUFFER_BYTES

/** A hub whose stream is one HTTP chunk of 16 MiB, and again, for as long as the socket takes it. */
async function floodingHub() {
  const block = Buffer.alloc(FLOOD_BYTES, FRAME)
  const chunk = Buffer.concat([Buffer.from(`${FLOOD_BYTES.toString(16)}\r\n`), block, Buffer.from('\r\n')])
  const server = createServer(({ socket }, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'transfer-encoding': 'chunked' })
    response.flushHeaders()
    const write = (): void => {
      if (!socket.destroyed) socket.write(chunk, write)
    }
    write()
  })
  const { host, sockets } = await listen(server)
  const { client, clock } = clientOf([`http://${host}`])
  const stream = await openEventStream(client)
  return { stream, clock, sockets }
}

async function take(stream: AsyncIterator<DownlinkEvent, undefined>, count: number): Promise<void> {
  for (let taken = 0; taken < count; taken += 1) {
    expect(await stream.next()).toEqual({ done: false, value: { type: 'sync', reason: 'flood' } })
  }
}

describe('given a flood of 16 MiB chunks', () => {
  test.each<[string, (stream: EventStream) => AsyncIterator<DownlinkEvent, undefined> | undefined, number]>([
    ['nobody reads', () => undefined, 0],
    ['its consumer is in the midst of it', (stream) => stream[Symbol.asyncIterator](), 5_000],
  ])('when %s and it is closed > the connection is gone and nothing more comes', async (_, begin, count) => {
    const { stream, clock, sockets } = await floodingHub()
    const events = begin(stream)
    if (events !== undefined) await take(events, count)
    expect(await stream.close()).toEqual({ reason: 'closed' })
    expect(clock.pendingTimers, 'the proof of life goes on').toBe(0)
    if (events !== undefined) expect(await events.next()).toEqual({ done: true, value: undefined })
    await vi.waitUntil(() => sockets.size === 0)
  })

  test('when its consumer waits for nothing else > the event loop turns all the same', async () => {
    const { stream } = await floodingHub()
    let sinceTurn = 0
    let most = 0
    let turns = 0
    const turn = (): void => {
      most = Math.max(most, sinceTurn)
      sinceTurn = 0
      if (++turns < 100) setImmediate(turn)
    }
    setImmediate(turn)
    for await (const event of stream) {
      if (event.type === 'sync') sinceTurn += 1
      if (turns === 100) break
    }
    expect(most, 'so many events came within one turn of the event loop').toBeLessThan(
      TURN_BYTES / FRAME.length,
    )
  })

  test('when it is asked for many events at once > each call gets its own', async () => {
    const { stream } = await floodingHub()
    const events = stream[Symbol.asyncIterator]()
    const results = await Promise.all(Array.from({ length: 100 }, () => events.next()))
    expect(results.filter(({ done }) => done === false)).toHaveLength(100)
    await stream.close()
  })
})
