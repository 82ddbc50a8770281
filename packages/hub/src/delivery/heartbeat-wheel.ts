/** One timer that sends every stream its heartbeat; the frame is encoded once per tick. */
import { encodeHeartbeat, type Clock, type Timer } from '@downlink/protocol'
import type { Session } from './session.ts'

/** What the wheel needs. */
export interface HeartbeatWheelOptions {
  readonly clock: Clock
  readonly heartbeatMs: number
  readonly sessions: () => Iterable<Session>
}

/** Starts the wheel; disposed of, it never sends again. */
export function startHeartbeatWheel(options: HeartbeatWheelOptions): Disposable {
  const { clock, heartbeatMs, sessions } = options
  let counter = 0
  let timer: Timer
  // Due times are multiples of the period, so that slow ticks do not add up to a longer one.
  let dueMs = clock.monotonicMs()

  const tick = (): void => {
    counter += 1
    const frame = encodeHeartbeat({ counter, hubMs: clock.wallMs() })
    for (const session of sessions()) session.sendHeartbeat(frame)
    schedule()
  }
  const schedule = (): void => {
    dueMs = Math.max(dueMs + heartbeatMs, clock.monotonicMs())
    timer = clock.setTimer(dueMs - clock.monotonicMs(), tick)
  }
  schedule()
  return { [Symbol.dispose]: () => timer.cancel() }
}
