/** The clock of a connection's proof of life: it starts before the dial, and every frame sets it back. */
import type { Clock, Timer } from '@downlink/protocol'

/** Watches one connection. */
export interface Liveness {
  /** The time without a frame that is allowed, ms. */
  readonly deadlineMs: number
  /** A frame came. */
  touch(): void
  /** Changes the deadline; counted from the last frame. */
  setDeadline(deadlineMs: number): void
  /** Nobody reads the connection now, so its silence says nothing. */
  suspend(): void
  /** It is read again, and has the whole deadline from here. */
  resume(): void
  stop(): void
}

/**
 * A timer that fires later than this, ms, says that this process stood still, not the hub: what came meanwhile waits
 * in the socket, and is read after the timers.
 */
const STANDSTILL_MS = 1_000

/** Starts the watch; `onSilent` is called once, when no frame came for the deadline. */
export function createLiveness(clock: Clock, deadlineMs: number, onSilent: () => void): Liveness {
  return new LivenessTimer(clock, deadlineMs, onSilent)
}

class LivenessTimer implements Liveness {
  deadlineMs: number
  private readonly clock: Clock
  private readonly onSilent: () => void
  private aliveMs: number
  private timer: Timer | undefined
  private stopped = false

  constructor(clock: Clock, deadlineMs: number, onSilent: () => void) {
    this.clock = clock
    this.deadlineMs = deadlineMs
    this.onSilent = onSilent
    this.aliveMs = clock.monotonicMs()
    this.arm(deadlineMs)
  }

  // A frame moves no timer: a burst of them would cost more than it tells. The timer looks when it fires.
  touch(): void {
    this.aliveMs = this.clock.monotonicMs()
  }

  setDeadline(deadlineMs: number): void {
    if (deadlineMs === this.deadlineMs) return
    this.deadlineMs = deadlineMs
    if (this.timer !== undefined) this.arm(this.remainingMs())
  }

  suspend(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  resume(): void {
    this.touch()
    this.arm(this.deadlineMs)
  }

  stop(): void {
    this.stopped = true
    this.suspend()
  }

  private remainingMs(): number {
    return this.aliveMs + this.deadlineMs - this.clock.monotonicMs()
  }

  private arm(delayMs: number): void {
    if (this.stopped) return
    this.timer?.cancel()
    const dueMs = this.clock.monotonicMs() + delayMs
    this.timer = this.clock.setTimer(delayMs, () => this.fire(dueMs))
  }

  private fire(dueMs: number): void {
    this.timer = undefined
    const remainingMs = this.remainingMs()
    const lateMs = this.clock.monotonicMs() - dueMs
    if (remainingMs > 0) this.arm(remainingMs)
    else if (lateMs > STANDSTILL_MS) this.arm(STANDSTILL_MS)
    else {
      this.stop()
      this.onSilent()
    }
  }
}
