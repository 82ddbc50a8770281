/** What goes up in a sync and what its reply sets in motion. */
import type { Clock, SyncReply, SyncRequest } from '@downlink/protocol'
import { arch, platform } from 'node:os'
import type { ReceivedHeartbeat } from '../connection/event-stream.ts'
import type { ControlLoop } from '../controls/control-loop.ts'
import type { Journal } from '../controls/journal.ts'
import type { LedgerReport } from '../controls/ledger.ts'
import type { TaskRuntime } from '../tasks/runtime.ts'

/** What a sync speaks of. */
export interface SyncExchangeOptions {
  readonly agentId: string
  readonly about: {
    readonly name?: string
    readonly version?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly clock: Clock
  readonly journal: Journal
  readonly runtime: TaskRuntime
  readonly controls: ControlLoop
  /** The last heartbeat of the open stream. */
  readonly lastHeartbeat: () => ReceivedHeartbeat | undefined
  readonly onUpgrade: (version: string) => void
}

/** Prepares requests and takes in their replies, one at a time and in turn. */
export class SyncExchange {
  readonly #options: SyncExchangeOptions
  #sent: { readonly report: LedgerReport; readonly counter: number } | undefined

  constructor(options: SyncExchangeOptions) {
    this.#options = options
  }

  /** How things stand now. */
  prepare(): SyncRequest {
    const { agentId, about, clock, controls, journal, runtime } = this.#options
    this.#sent = { report: journal.ledger.report(), counter: controls.syncStarted() }
    const heartbeat = this.#options.lastHeartbeat()
    return {
      agentId,
      tasks: runtime.reports(),
      freeSlots: runtime.freeSlots,
      os: platform(),
      arch: arch(),
      ...about,
      ...this.#sent.report,
      ...(heartbeat === undefined
        ? {}
        : {
            heartbeat: {
              counter: heartbeat.counter,
              hubMs: heartbeat.hubMs,
              agoMs: Math.max(0, Math.round(clock.monotonicMs() - heartbeat.receivedMs)),
            },
          }),
    }
  }

  /** Forgets what was acknowledged, takes on new tasks, delivers controls; in this order. */
  async takeIn(reply: SyncReply, request: SyncRequest): Promise<void> {
    const { controls, journal, runtime } = this.#options
    const sent = this.#sent
    if (sent === undefined) return
    controls.syncAnswered(sent.counter)
    const forget = journal.ledger.acknowledge(sent.report, reply.acked)
    if (forget !== undefined) await journal.append([forget])
    controls.acknowledged(sent.report, reply.acked)
    await runtime.reported(request.tasks)
    // Before the controls: one of them may be about a task that only now comes.
    for (const task of reply.newTasks) {
      if (runtime.has(task.id) || !runtime.hasRoom) continue
      const taken = { taskId: task.id, kind: task.kind ?? '', input: task.input ?? null }
      await journal.append([{ type: 'task', ...taken }])
      runtime.add(taken)
    }
    controls.deliver(reply.controls, { kind: 'sync', counter: sent.counter })
    if (reply.upgrade !== undefined) this.#options.onUpgrade(reply.upgrade.version)
  }
}
