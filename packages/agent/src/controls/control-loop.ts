/** Carries controls from their arrival to their outcome: judge, journal, apply, journal again; one at a time in each lane. */
import {
  isIssued,
  isStateVerb,
  laneOf,
  limits,
  type Control,
  type Delivery,
  type IssuedControl,
  type StateVerb,
} from '@downlink/protocol'
import { channel } from 'node:diagnostics_channel'
import type { TaskRuntime } from '../tasks/runtime.ts'
import type { Journal } from './journal.ts'
import type { Outcome } from './ledger-records.ts'
import type { LedgerReport } from './ledger.ts'

/** Published at every step of a control, as `{ step, controlId }`; for tests that kill the process there, and for tracing. */
const controlChannel = channel('downlink:agent:control')

/** What the control loop needs from the rest of the agent. */
export interface ControlLoopOptions {
  readonly journal: Journal
  readonly runtime: TaskRuntime
  /** Decides controls of tasks that the runtime does not hold; undefined if the application has no such tasks. */
  readonly decideElsewhere?: (control: Control) => Promise<Outcome>
  readonly onOutcome: (control: Control, outcome: Outcome) => void
  /** There is something to report, or something that only a sync can bring. */
  readonly onSyncWanted: (reason: string) => void
  readonly onTrouble: (error: unknown, message: string) => void
}

/** Where controls came from. */
export type ControlSource =
  | { readonly kind: 'push' }
  /** The reply to the `counter`th sync of this start. */
  | { readonly kind: 'sync'; readonly counter: number }

/** Decides controls. Its methods return at once; {@link ControlLoop.idle} waits for what is under way. */
export class ControlLoop {
  readonly #options: ControlLoopOptions
  readonly #lanes = new Map<string, Promise<void>>()
  /** Waiting or being applied; a control that is pushed again meanwhile does not queue again. */
  readonly #underWay = new Set<string>()
  /** Local decisions that a server without revisions has not yet answered: until then it may still speak of before. */
  readonly #unanswered = new Map<string, { readonly action: StateVerb; readonly sinceCounter: number }>()
  #startedSyncs = 0

  constructor(options: ControlLoopOptions) {
    this.#options = options
  }

  /** Takes in controls in their order; what is no good is ignored by rule. */
  deliver(controls: readonly Control[], source: ControlSource): void {
    for (const control of controls) {
      if (isIssued(control)) this.#deliverIssued(control, source)
      else if (this.#acceptsUnissued(control, source))
        void this.#inLane(control.taskId, laneOf(control.action), () => this.#applyUnissued(control))
    }
  }

  /** Decides what a crash interrupted: establishes states again, fails what may have been applied. */
  async recover(): Promise<void> {
    const { journal } = this.#options
    for (const item of journal.ledger.interrupted()) {
      if (item.kind === 'fail') await journal.append([item.record])
      else void this.#inLane(item.control.taskId, item.control.lane, () => this.#applyAgain(item.control))
    }
    await this.idle()
  }

  /** A pause, resume or cancel made on this machine: journalled with what it rests on, then applied. */
  async decideLocally(taskId: string, action: StateVerb, decisionId: string): Promise<Outcome> {
    const { journal, runtime } = this.#options
    let outcome: Outcome = { state: 'applied' }
    await this.#inLane(taskId, 'state', async () => {
      await journal.append([journal.ledger.decideLocally(taskId, action, decisionId)])
      this.#unanswered.set(taskId, { action, sinceCounter: this.#startedSyncs })
      outcome = await runtime.apply(taskId, action, null)
    })
    this.#options.onSyncWanted('decision')
    return outcome
  }

  /** A sync begins; returns its number. */
  syncStarted(): number {
    return ++this.#startedSyncs
  }

  /** The sync `counter` was answered: the server knows of every local decision made before it began. */
  syncAnswered(counter: number): void {
    for (const [taskId, { sinceCounter }] of this.#unanswered) {
      if (counter > sinceCounter) this.#unanswered.delete(taskId)
    }
  }

  /** The hub has what this report said. */
  acknowledged(report: LedgerReport, acked: readonly string[]): void {
    for (const { controlId } of report.outcomes)
      if (acked.includes(controlId)) publish('acknowledged', controlId)
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#lanes.size > 0) await Promise.all(this.#lanes.values())
  }

  #deliverIssued(control: IssuedControl, source: ControlSource): void {
    const { controlId } = control
    if (this.#underWay.has(controlId) || this.#underWay.size >= limits.LEDGER_CONTROLS_MAX) return
    const isHeld = this.#options.runtime.has(control.taskId) || this.#options.decideElsewhere !== undefined
    // The task may be one that only the next sync brings; that sync hands out the control again.
    if (!isHeld && source.kind === 'push') {
      this.#options.onSyncWanted('unknown_task')
      return
    }
    this.#underWay.add(controlId)
    void this.#inLane(control.taskId, control.lane, () => this.#decide(control)).finally(() =>
      this.#underWay.delete(controlId),
    )
  }

  async #decide(control: IssuedControl): Promise<void> {
    const { journal, onSyncWanted } = this.#options
    publish('received', control.controlId)
    const verdict = journal.ledger.judge(control, this.#deliveryOf(control))
    if (verdict.kind !== 'accept') {
      if (verdict.kind === 'stale') onSyncWanted('stale')
      return
    }
    await journal.append([verdict.record])
    publish('journalled', control.controlId)
    await this.#applyAndKeep(control, await this.#apply(control))
  }

  async #applyAgain(control: IssuedControl): Promise<void> {
    const outcome = await this.#apply(control)
    // It may have been applied before the crash, so a refusal now is not the whole truth.
    const isRefusal =
      outcome.state === 'failed' && ['already_finished', 'task_unknown'].includes(outcome.code)
    const said: Outcome = isRefusal
      ? {
          state: 'failed',
          code: 'interrupted',
          message: `The agent stopped while it applied ${control.action}, and it can no longer be applied: ${outcome.message}`,
        }
      : outcome
    await this.#applyAndKeep(control, said)
  }

  async #applyAndKeep(control: IssuedControl, outcome: Outcome): Promise<void> {
    publish('applied', control.controlId)
    await this.#options.journal.append([{ type: 'outcome', controlId: control.controlId, outcome }])
    this.#options.onOutcome(control, outcome)
    this.#options.onSyncWanted('outcome')
  }

  async #applyUnissued(control: Control): Promise<void> {
    this.#options.onOutcome(control, await this.#apply(control))
    this.#options.onSyncWanted('outcome')
  }

  #apply(control: Control): Promise<Outcome> {
    const { runtime, decideElsewhere } = this.#options
    if (!runtime.has(control.taskId) && decideElsewhere !== undefined) return decideElsewhere(control)
    const isUnknownVerb =
      runtime.has(control.taskId) &&
      !isStateVerb(control.action) &&
      runtime.deliveryOf(control.taskId, control.action) === undefined
    if (isUnknownVerb) {
      if (decideElsewhere !== undefined) return decideElsewhere(control)
      return Promise.resolve({
        state: 'failed',
        code: 'unsupported',
        message: `Task ${control.taskId} has no verb ${control.action}.`,
      })
    }
    return runtime.apply(control.taskId, control.action, control.args)
  }

  #deliveryOf(control: IssuedControl): Delivery {
    if (isStateVerb(control.action)) return 'atLeastOnce'
    return this.#options.runtime.deliveryOf(control.taskId, control.action) ?? 'atMostOnce'
  }

  #acceptsUnissued(control: Control, source: ControlSource): boolean {
    const local = this.#unanswered.get(control.taskId)
    if (local === undefined || control.action === 'cancel' || !isStateVerb(control.action)) return true
    // Only a sync that began after the local decision can know of it.
    return control.action === local.action || (source.kind === 'sync' && source.counter > local.sinceCounter)
  }

  #inLane(taskId: string, lane: string, work: () => Promise<void>): Promise<void> {
    const key = `${taskId}\0${lane}`
    const before = this.#lanes.get(key) ?? Promise.resolve()
    const mine = before.then(work).catch((error: unknown) => {
      this.#options.onTrouble(
        error,
        `a control of task ${taskId} could not be decided; the hub hands it out again`,
      )
    })
    this.#lanes.set(key, mine)
    return mine.finally(() => {
      if (this.#lanes.get(key) === mine) this.#lanes.delete(key)
    })
  }
}

function publish(step: string, controlId: string): void {
  if (controlChannel.hasSubscribers) controlChannel.publish({ step, controlId })
}
