/** One timer that sends every stream its heartbeat; the frame is encoded once per beat. */
import { encodeHeartbeat, limits, type Clock, type Timer } from '@downlink/protocol'
import type { HeartbeatTimes } from './heartbeat-times.ts'
import type { Session } from './session.ts'

/** What the wheel needs. */
export interface HeartbeatWheelOptions {
  readonly clock: Clock
  readonly heartbeatMs: number
  readonly sessions: () => Iterable<Session>
  /** The window of the first reconnects, told with every heartbeat as the fleet grows and shrinks. */
  readonly windowMs: () => number
  readonly times: HeartbeatTimes
}

/** Starts the wheel; disposed of, it never sends again. */
export function startHeartbeatWheel(options: HeartbeatWheelOptions): Disposable {
  const { clock, heartbeatMs, sessions, windowMs, times } = options
  let counter = 0
  let timer: Timer
  // Due times are multiples of the period, so that slow beats do not add up to a longer one.
  let dueMs = clock.monotonicMs()

  const beat = (): void => {
    counter += 1
    const hubMs = Math.round(clock.wallMs())
    const frame = encodeHeartbeat({ counter, hubMs }, windowMs())
    times.wrote(counter, hubMs, clock.monotonicMs())
    writeSome(frame, sessions()[Symbol.iterator]())
  }
  // Tens of thousands of writes in one turn would hold up every control that comes meanwhile.
  const writeSome = (frame: Uint8Array, rest: Iterator<Session>): void => {
    for (let count = 0; count < limits.STREAMS_TOGETHER_MAX; count += 1) {
      const next = rest.next()
      if (next.done === true) return schedule()
      next.value.sendHeartbeat(frame)
    }
    timer = clock.setTimer(0, () => writeSome(frame, rest))
  }
  const schedule = (): void => {
    dueMs = Math.max(dueMs + heartbeatMs, clock.monotonicMs())
    timer = clock.setTimer(dueMs - clock.monotonicMs(), beat)
  }
  schedule()
  return { [Symbol.dispose]: () => timer.cancel() }
}
