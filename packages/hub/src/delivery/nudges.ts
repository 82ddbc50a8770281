/** Has agents sync: one at once, or many over a window, so that they do not all come at once. */
import { delay, encodeSync, limits, type Clock, type Random, type Timer } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { SessionRegistry } from './session-registry.ts'
import type { WakePolls } from './wake-polls.ts'

/** Nudges due so soon, ms, go together: thousands of agents must not need a timer each. */
const TOGETHER_MS = 10

/** What nudges need of the hub. */
export interface NudgesOptions {
  readonly clock: Clock
  readonly random: Random
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly memories: AgentMemories
}

/** The nudges of one hub; disposed of, it tells nobody any more. */
export interface Nudges extends Disposable {
  /** Has the agent sync now. Whether a stream or a held poll carries it. */
  now(agentId: string, reason: string): boolean
  /**
   * Has each agent sync at a random time within `withinMs`. One of ours is told of the window; whoever cannot be, an original
   * or one that asks `wake`, is nudged at such a time. How many have a stream or a held poll.
   */
  within(agentIds: readonly string[], withinMs: number): Promise<number>
}

interface Waiting {
  readonly agentId: string
  readonly dueMs: number
}

/** Makes them; there are none yet. */
export function createNudges(options: NudgesOptions): Nudges {
  const { clock, random, registry, polls, memories } = options
  /** By agent, so that a broadcast that is repeated makes no second nudge. */
  const waiting = new Map<string, Waiting>()
  /** The last of them is due first. */
  let order: Waiting[] = []
  let timer: Timer | undefined
  let isDisposed = false

  const now = (agentId: string, reason: string): boolean => {
    const session = registry.get(agentId)
    session?.sendSync(reason)
    const isPolling = polls.nudge(agentId)
    return session !== undefined || isPolling
  }
  const setTimer = (): void => {
    timer?.cancel()
    const next = order.at(-1)
    timer = next && clock.setTimer(Math.max(0, Math.ceil(next.dueMs - clock.monotonicMs())), tellDue)
  }
  const tellDue = (): void => {
    const dueMs = clock.monotonicMs() + TOGETHER_MS
    for (let next = order.at(-1); next !== undefined && next.dueMs <= dueMs; next = order.at(-1)) {
      order.pop()
      waiting.delete(next.agentId)
      now(next.agentId, 'broadcast')
    }
    setTimer()
  }
  const tellSome = (agentIds: readonly string[], withinMs: number, bytes: Uint8Array): number => {
    const nowMs = clock.monotonicMs()
    const waitedBefore = waiting.size
    let reached = 0
    for (const agentId of agentIds) {
      const session = registry.get(agentId)
      if (session !== undefined || polls.isHeld(agentId)) reached++
      if (session?.boot !== undefined) session.sendBroadcast(bytes)
      // One that was never here has nothing that could carry it, now or soon.
      else if (memories.peek(agentId) !== undefined && !waiting.has(agentId)) {
        waiting.set(agentId, { agentId, dueMs: nowMs + random() * withinMs })
      }
    }
    if (waiting.size > waitedBefore) {
      order = [...waiting.values()].sort((a, b) => b.dueMs - a.dueMs)
      setTimer()
    }
    return reached
  }
  return {
    now,
    async within(agentIds, withinMs) {
      const bytes = encodeSync('broadcast', withinMs)
      let reached = 0
      for (let from = 0; from < agentIds.length; from += limits.STREAMS_TOGETHER_MAX) {
        // Tens of thousands of writes in one turn would hold up every control that comes meanwhile.
        if (from > 0) await delay(clock, 0)
        if (isDisposed) break
        reached += tellSome(agentIds.slice(from, from + limits.STREAMS_TOGETHER_MAX), withinMs, bytes)
      }
      return reached
    },
    [Symbol.dispose]() {
      isDisposed = true
      timer?.cancel()
    },
  }
}
