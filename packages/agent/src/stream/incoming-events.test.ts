import { encodeCommands, encodeHeartbeat, encodeSync, limits, type DownlinkEvent } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { IncomingEvents } from './incoming-events.ts'
import { ReplyBody } from '../http/reply-body.ts'

function incomingOf() {
  const incoming = new IncomingEvents(createTestClock())
  const body = new ReplyBody({ pause: () => {}, resume: () => {}, abort: () => {} })
  body.onChange = () => incoming.read(body)
  return { incoming, body }
}

/** All events that wait now, without reading on. */
function takeAll(incoming: IncomingEvents): DownlinkEvent[] {
  const events: DownlinkEvent[] = []
  for (let event = incoming.take(); event !== undefined; event = incoming.take()) events.push(event)
  return events
}

const frame = fc.oneof(
  fc.nat(999).map((counter) => encodeHeartbeat({ counter, hubMs: counter })),
  fc.string({ maxLength: 40 }).map((reason) => encodeSync(reason)),
  fc.nat(9).map((id) => Buffer.concat(encodeCommands([{ action: 'cancel', taskId: `t${id}`, args: null }]))),
)

describe('given any frames, cut in any way, and a consumer that takes as it likes', () => {
  test('when they come > at most eight wait, and all come in their order', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 80, size: 'max' }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 900 }), fc.nat(12)), { minLength: 1, maxLength: 12 }),
        (frames, steps) => {
          const bytes = Buffer.concat(frames)
          const whole = incomingOf()
          const expected: DownlinkEvent[] = []
          whole.body.push(bytes)
          for (let taken = takeAll(whole.incoming); taken.length > 0; taken = takeAll(whole.incoming)) {
            expected.push(...taken)
            whole.incoming.read(whole.body)
          }
          expect(expected).toHaveLength(frames.length)

          const { incoming, body } = incomingOf()
          const seen: DownlinkEvent[] = []
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const [size, takes] = steps[turn % steps.length] ?? [1, 0]
            body.push(bytes.subarray(at, at + size))
            at += size
            for (let take = 0; take < takes; take += 1) {
              const event = incoming.take()
              if (event === undefined) incoming.read(body)
              else seen.push(event)
            }
          }
          for (;;) {
            const waiting = takeAll(incoming)
            expect(waiting.length, 'too many events are decoded ahead').toBeLessThanOrEqual(
              limits.STREAM_EVENTS_WAITING_MAX,
            )
            seen.push(...waiting)
            if (waiting.length === 0 && !incoming.isHeldUp) break
            incoming.read(body)
          }
          expect(seen, 'mend the order').toEqual(expected)
          expect(incoming.frames).toBe(frames.length)
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('given a consumer that takes nothing', () => {
  test('when chunk after chunk comes > no ninth event is decoded', () => {
    const { incoming, body } = incomingOf()
    for (let chunk = 0; chunk < 20; chunk += 1) body.push(encodeSync(String(chunk)))
    expect(incoming.frames).toBe(limits.STREAM_EVENTS_WAITING_MAX)
    expect(takeAll(incoming)).toHaveLength(limits.STREAM_EVENTS_WAITING_MAX)
    incoming.read(body)
    expect(takeAll(incoming)[0]).toEqual({ type: 'sync', reason: '8' })
  })

  test('when the stream then passes a bound > what came before is still there, and it is found once it is read', () => {
    const { incoming, body } = incomingOf()
    for (let sync = 0; sync < 9; sync += 1) body.push(encodeSync(String(sync)))
    body.push(new Uint8Array(limits.SSE_LINE_BYTES_MAX + 1).fill(0x61))
    expect(incoming.failure).toBeUndefined()
    expect(takeAll(incoming)).toHaveLength(8)
    incoming.read(body)
    expect(incoming.failure).toMatchObject({ code: 'sse_line_too_long' })
    expect(takeAll(incoming)).toEqual([{ type: 'sync', reason: '8' }])
  })
})
