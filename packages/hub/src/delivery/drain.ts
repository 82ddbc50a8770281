/** Ends the streams and held polls of a hub that stops, each at a slot of its own, so that no herd comes back. */
import { encodeDrain, limits, type Clock, type Random } from '@downlink/protocol'
import type { SessionRegistry } from './session-registry.ts'
import type { WakePolls } from './wake-polls.ts'

/** How streams are spread. */
export interface DrainPlan {
  /** All end within it, ms. */
  readonly drainMs: number
  /** Time from the last end until a hub is there again, ms; 0 where another takes the agents at once. */
  readonly restartMs: number
  /** The window over which agents come back then, ms. */
  readonly windowMs: number
}

/** When one stream ends, and how long after that its agent is to come back, ms. */
export interface DrainSlot {
  readonly endMs: number
  readonly reconnectAfterMs: number
}

/** Ends due so soon, ms, are done together: thousands of streams must not need a timer each. */
const TOGETHER_MS = 10

/**
 * One slot for each of `count` streams, in the order of their ends. Each is drawn within its own part of the time, so
 * that no two parts get more than two: evener than chance alone.
 */
export function drainSlots(
  count: number,
  { drainMs, restartMs, windowMs }: DrainPlan,
  random: Random,
): readonly DrainSlot[] {
  const spreadMs = Math.min(windowMs, limits.RETRY_MS_MAX - restartMs - drainMs)
  return Array.from({ length: count }, (_, index) => {
    const place = (index + random()) / count
    const endMs = place * drainMs
    const reconnectAfterMs = restartMs === 0 ? 0 : drainMs - endMs + restartMs + place * spreadMs
    return { endMs: Math.round(endMs), reconnectAfterMs: Math.round(Math.max(0, reconnectAfterMs)) }
  })
}

/** What is drained, and by which clock. */
export interface DrainOptions {
  readonly clock: Clock
  readonly random: Random
  readonly registry: SessionRegistry
  readonly polls: WakePolls
}

/**
 * Tells every stream its slot, and ends it then, originals' too; polls are answered along with them. Resolves when none is
 * left. What opens meanwhile is not ended: the routes must refuse it.
 * @param signal - ends what is left at once when it aborts.
 */
export async function drainStreams(
  options: DrainOptions,
  plan: DrainPlan,
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, registry, polls } = options
  const sessions = [...registry.all()]
  const pollers = polls.agentIds()
  const slots = drainSlots(sessions.length + pollers.length, plan, random)
  const ends = [
    ...sessions.map((session) => (slot: DrainSlot) => {
      session.send({ bytes: encodeDrain(slot.reconnectAfterMs) })
      return () => session.end('drained')
    }),
    ...pollers.map((agentId) => () => () => polls.release(agentId)),
  ]
  const order = shuffled(ends, random)
  const due = slots.map((slot, index) => ({ atMs: slot.endMs, end: order[index]?.(slot) }))
  const startMs = clock.monotonicMs()
  for (const { atMs, end } of due) {
    const waitMs = startMs + atMs - clock.monotonicMs()
    if (waitMs > TOGETHER_MS) await sleep(clock, waitMs, signal)
    end?.()
  }
}

/** In an order by chance: those that came together must not go together, as originals would after a restart. */
function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

/** Until the time is over or `signal` aborts. */
function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const wake = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.setTimer(delayMs, wake)
    signal.addEventListener('abort', wake, { once: true })
  })
}
