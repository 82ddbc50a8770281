/** What goes up in a sync and what its reply sets in motion. */
import { limits, type Clock, type PathReport, type SyncReply, type SyncRequest } from '@downlink/protocol'
import { arch, platform } from 'node:os'
import type { ReceivedHeartbeat } from '../stream/incoming-events.ts'
import type { ControlLoop } from '../controls/control-loop.ts'
import type { Journal } from '../controls/journal.ts'
import type { LedgerReport } from '../controls/ledger.ts'
import type { TaskRuntime } from '../tasks/runtime.ts'
import { HubClock } from './hub-clock.ts'

/** What a sync speaks of. */
export interface SyncExchangeOptions {
  readonly agentId: string
  readonly about: {
    readonly name?: string
    readonly version?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly clock: Clock
  readonly journal: Pick<Journal, 'ledger' | 'append'>
  readonly runtime: TaskRuntime
  readonly controls: ControlLoop
  /** The last heartbeat of the open stream. */
  readonly lastHeartbeat: () => ReceivedHeartbeat | undefined
  /** What is seen of the path to the hub. */
  readonly path: () => PathReport
  /** What keeps the agent from its work. */
  readonly blockedBy: () => string | undefined
  readonly onSyncWanted: (reason: string) => void
  readonly onUpgrade: (version: string) => void
  /** The hub wants another key in use. */
  readonly onKeyOutdated: () => void
}

/** What a reply is an answer to. */
interface SentReport {
  readonly report: LedgerReport
  readonly counter: number
  /** It did not hold all outcomes. */
  readonly isCut: boolean
  readonly sentMs: number
}

/** Prepares requests and takes in their replies, one at a time and in turn. */
export class SyncExchange {
  readonly #options: SyncExchangeOptions
  /** The hub's clock by its replies, so that its heartbeats can be told from late ones. */
  readonly hubClock: HubClock = new HubClock()
  #sent: SentReport | undefined
  #isStopping = false

  constructor(options: SyncExchangeOptions) {
    this.#options = options
  }

  /** From here on replies only acknowledge: what they bring beside that is for the next start. */
  stop(): void {
    this.#isStopping = true
  }

  /** How things stand now, within `AGENT_BODY_BYTES_MAX`. */
  prepare(): SyncRequest {
    const { agentId, about, clock, controls, journal, runtime } = this.#options
    const report = withinBytes(journal.ledger.report())
    const isCut = journal.ledger.unacknowledgedOutcomes > report.outcomes.length
    this.#sent = { report, counter: controls.syncStarted(), isCut, sentMs: clock.monotonicMs() }
    const heartbeat = this.#options.lastHeartbeat()
    const path = this.#options.path()
    const blockedBy = this.#options.blockedBy()
    const bytesLeft = limits.AGENT_BODY_BYTES_MAX - limits.SYNC_ENVELOPE_BYTES - jsonBytes(report)
    return {
      agentId,
      tasks: runtime.reporting.prepare(bytesLeft),
      freeSlots: runtime.freeSlots,
      os: platform(),
      arch: arch(),
      ...about,
      ...report,
      outcomes: controls.withAges(report.outcomes),
      ...(heartbeat === undefined
        ? {}
        : {
            heartbeat: {
              counter: heartbeat.counter,
              hubMs: heartbeat.hubMs,
              agoMs: Math.max(0, Math.round(clock.monotonicMs() - heartbeat.receivedMs)),
              ...this.#lagOf(heartbeat),
            },
          }),
      ...(path.verdict === 'unknown' ? {} : { path }),
      ...(blockedBy === undefined ? {} : { blockedBy }),
    }
  }

  /**
   * Takes in what was acknowledged, takes on new tasks, delivers controls; in this order.
   * @throws DownlinkError `journal_unavailable`; whatever was not taken in comes again with a later sync.
   */
  async takeIn(reply: SyncReply): Promise<void> {
    const { clock, controls, journal, runtime } = this.#options
    const sent = this.#sent
    if (sent === undefined) return
    const { report, counter, isCut, sentMs } = sent
    if (reply.hubMs !== undefined) this.hubClock.replied(reply.hubMs, sentMs, clock.monotonicMs())
    controls.syncAnswered(counter)
    const isAnyAcknowledged = journal.ledger.acknowledge(report, reply.acked)
    controls.acknowledged(report, reply.acked)
    await runtime.reporting.answered()
    if (isCut && isAnyAcknowledged) this.#options.onSyncWanted('more outcomes')
    if (this.#isStopping) return
    runtime.release()
    // Before the controls: one of them may be about a task that only now comes.
    await this.#takeOn(reply)
    controls.deliver(reply.controls, { kind: 'sync', counter })
    if (reply.rotateKey === true) this.#options.onKeyOutdated()
    if (reply.upgrade !== undefined) this.#options.onUpgrade(reply.upgrade.version)
  }

  #lagOf({ receivedMs, hubMs }: ReceivedHeartbeat): { readonly lagMs?: number } {
    const { offsetMs } = this.hubClock
    return offsetMs === undefined ? {} : { lagMs: Math.max(0, Math.round(receivedMs + offsetMs - hubMs)) }
  }

  async #takeOn({ newTasks, controls }: SyncReply): Promise<void> {
    const { journal, runtime } = this.#options
    const unknown = new Map(
      newTasks
        .filter(({ id }) => !runtime.has(id))
        .map(({ id, kind, input }) => [id, { taskId: id, kind: kind ?? '', input: input ?? null }]),
    )
    const taken = [...unknown.values()].slice(0, runtime.room)
    if (taken.length === 0) return
    await journal.append(taken.map((task) => ({ type: 'task', ...task })))
    // What is to be cancelled or paused must not have begun before.
    const heldBack = new Set(
      controls.filter(({ action }) => action === 'cancel' || action === 'pause').map(({ taskId }) => taskId),
    )
    for (const task of taken) runtime.add(task, heldBack.has(task.taskId))
  }
}

/** The report with as many outcomes as `SYNC_OUTCOMES_BYTES_MAX` allows, and at least one; the rest go next time. */
function withinBytes(report: LedgerReport): LedgerReport {
  let leftBytes: number = limits.SYNC_OUTCOMES_BYTES_MAX
  const outcomes = report.outcomes.filter((outcome, index) => {
    leftBytes -= jsonBytes(outcome)
    return index === 0 || leftBytes >= 0
  })
  return { ...report, outcomes }
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
