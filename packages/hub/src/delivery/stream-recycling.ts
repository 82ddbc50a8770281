/** Ends streams in order at an age drawn at random, so that none rests for ever on what was true when it opened. */
import { encodeDrain, type Clock, type Random, type Timer } from '@downlink/protocol'
import type { SessionRegistry } from './session-registry.ts'
import type { Session } from './session.ts'

/** A stream and when it has lasted long enough, by the monotonic clock. */
export interface AgingStream<S> {
  readonly stream: S
  readonly dueMs: number
}

/** What to do now, and when to look again at the latest, ms from now. */
export interface RecyclingStep<S> {
  readonly ended: S | undefined
  readonly againMs: number
}

/** When a stream is due: at half of `ageMsMax` or later, never past it. */
export function streamDueMs(openedMs: number, ageMsMax: number, chance: number): number {
  return openedMs + (ageMsMax / 2) * (1 + chance)
}

/**
 * The rest between two ends, ms: streams that opened together, or a clock that jumped, must not bring more back at once than
 * twice what their ages alone spread them to, nor more than half of what the hub accepts.
 */
export function recyclingRestMs(count: number, ageMsMax: number, acceptPerS: number): number {
  return Math.max(2_000 / acceptPerS, ageMsMax / (4 * Math.max(1, count)))
}

/** The stream to end now, if any is due: the one that is longest, one at a time. */
export function decideRecycling<S>(
  streams: Iterable<AgingStream<S>>,
  nowMs: number,
  restMs: number,
  ageMsMax: number,
): RecyclingStep<S> {
  let first: AgingStream<S> | undefined
  for (const aging of streams) if (first === undefined || aging.dueMs < first.dueMs) first = aging
  // A stream that opens from now on is due no sooner.
  if (first === undefined) return { ended: undefined, againMs: ageMsMax / 2 }
  if (first.dueMs > nowMs) return { ended: undefined, againMs: Math.min(first.dueMs - nowMs, ageMsMax / 2) }
  return { ended: first.stream, againMs: restMs }
}

/** What recycling needs. */
export interface StreamRecyclingOptions {
  readonly clock: Clock
  readonly random: Random
  readonly registry: SessionRegistry
  /** `Infinity`: streams are never ended for their age. */
  readonly streamAgeMsMax: number
  readonly acceptPerS: number
  /** A hub that stops ends all of them at slots of its own. */
  readonly isDraining: () => boolean
}

/** Starts it; disposed of, it ends nothing any more. */
export function startStreamRecycling(options: StreamRecyclingOptions): Disposable {
  const { clock, random, registry, streamAgeMsMax: ageMsMax } = options
  const due = new WeakMap<Session, number>()
  let timer: Timer | undefined

  function* aging(): Iterable<AgingStream<Session>> {
    for (const stream of registry.all()) {
      const dueMs = due.get(stream) ?? streamDueMs(stream.openedMs, ageMsMax, random())
      due.set(stream, dueMs)
      yield { stream, dueMs }
    }
  }
  const step = (): void => {
    if (options.isDraining()) return
    const restMs = recyclingRestMs(registry.size, ageMsMax, options.acceptPerS)
    const { ended, againMs } = decideRecycling(aging(), clock.monotonicMs(), restMs, ageMsMax)
    // As a drain does: our agents come right back, an original sees an end in order.
    ended?.end('recycled', encodeDrain(0))
    timer = clock.setTimer(Math.ceil(againMs), step)
  }
  if (ageMsMax !== Infinity) step()
  return { [Symbol.dispose]: () => timer?.cancel() }
}
