/** Ends streams in order at an age drawn at random, so that none rests for ever on what was true when it opened. */
import { encodeDrain, type Clock, type Random, type Timer } from '@downlink/protocol'
import type { SessionRegistry } from './session-registry.ts'
import type { Session } from './session.ts'

/** A stream of an agent, and when it ends, by the monotonic clock. */
export interface AgingStream {
  readonly agentId: string
  readonly openedMs: number
  readonly dueMs: number
}

/**
 * When a stream is due, as drawn at `nowMs`: at half of `ageMsMax` or later, never past it. Drawn again at a later time
 * for one that was not due yet, the chances are what they were, so nobody has to remember the first.
 */
export function streamDueMs(openedMs: number, nowMs: number, ageMsMax: number, chance: number): number {
  const latestMs = openedMs + ageMsMax
  const earliestMs = Math.min(latestMs, Math.max(openedMs + ageMsMax / 2, nowMs))
  return earliestMs + (latestMs - earliestMs) * chance
}

/**
 * The rest between two ends, ms: streams that opened together, or a clock that jumped, must not bring more back at once than
 * twice what their ages alone spread them to, nor more than half of what the hub accepts.
 */
export function recyclingRestMs(count: number, ageMsMax: number, acceptPerS: number): number {
  return Math.max(2_000 / acceptPerS, ageMsMax / (4 * Math.max(1, count)))
}

/** The order in which `streams` end from `nowMs` on, the last of them first. One that opens later is due no sooner than half of `ageMsMax` from now. */
export function planRecycling(
  streams: Iterable<Pick<AgingStream, 'agentId' | 'openedMs'>>,
  nowMs: number,
  ageMsMax: number,
  random: Random,
): AgingStream[] {
  const plan: AgingStream[] = []
  for (const { agentId, openedMs } of streams) {
    const dueMs = streamDueMs(openedMs, nowMs, ageMsMax, random())
    // The next plan has the others.
    if (dueMs <= nowMs + ageMsMax / 2) plan.push({ agentId, openedMs, dueMs })
  }
  return plan.sort((a, b) => b.dueMs - a.dueMs)
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
  let timer: Timer | undefined
  let plan: AgingStream[] = []
  let plannedMs = -Infinity

  /** The stream that is due first; those that have ended since are dropped. Ids, as a plan must not hold what is gone. */
  const first = (): { readonly session: Session; readonly dueMs: number } | undefined => {
    for (let next = plan.at(-1); next !== undefined; next = plan.at(-1)) {
      const session = registry.get(next.agentId)
      if (session?.openedMs === next.openedMs) return { session, dueMs: next.dueMs }
      plan.pop()
    }
    return undefined
  }
  const step = (): void => {
    if (options.isDraining()) return
    const nowMs = clock.monotonicMs()
    if (nowMs >= plannedMs + ageMsMax / 2) {
      plan = planRecycling(registry.all(), nowMs, ageMsMax, random)
      plannedMs = nowMs
    }
    const next = first()
    if (next === undefined || next.dueMs > nowMs) {
      again(Math.min(next?.dueMs ?? Infinity, plannedMs + ageMsMax / 2) - nowMs)
      return
    }
    plan.pop()
    // As a drain does: our agents come right back, an original sees an end in order.
    next.session.end('recycled', encodeDrain(0))
    again(recyclingRestMs(registry.size, ageMsMax, options.acceptPerS))
  }
  const again = (delayMs: number): void => {
    timer = clock.setTimer(Math.ceil(delayMs), step)
  }
  if (ageMsMax !== Infinity) step()
  return { [Symbol.dispose]: () => timer?.cancel() }
}
