/** Carries controls from their arrival to their outcome: judge, journal, apply, journal again; one at a time in each lane. */
import {
  isIssued,
  laneOf,
  limits,
  type Clock,
  type Control,
  type IssuedControl,
  type OutcomeReport,
  type StateVerb,
  type Timer,
} from '@downlink/protocol'
import { publish, type AgentDiagnostics, type ControlStep } from '../diagnostics.ts'
import type { TaskRuntime } from '../tasks/runtime.ts'
import { ControlTarget, type DecideElsewhere } from './control-target.ts'
import type { Journal } from './journal.ts'
import { Lanes } from './lanes.ts'
import type { Outcome } from './ledger-records.ts'
import type { LedgerReport } from './ledger.ts'
import type { PatientJournal } from './patient-journal.ts'
import { PushGate, type Moment } from './push-gate.ts'
import { UnansweredDecisions } from './unanswered-decisions.ts'

/** What the control loop needs from the rest of the agent. */
export interface ControlLoopOptions {
  readonly clock: Clock
  readonly journal: Pick<Journal, 'ledger' | 'append'>
  /** Keeps what has happened already. */
  readonly patientJournal: PatientJournal
  readonly runtime: TaskRuntime
  readonly decideElsewhere?: DecideElsewhere
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
  readonly #gate: PushGate
  readonly #target: ControlTarget
  readonly #lanes = new Lanes()
  /** Waiting or being applied; a control that is pushed again meanwhile does not queue again. */
  readonly #underWay = new Set<string>()
  #unissuedUnderWay = 0
  /** When controls were decided that the hub has not acknowledged, by the monotonic clock; as many as the ledger holds. */
  readonly #decidedMs = new Map<string, number>()
  readonly #unanswered = new UnansweredDecisions()
  #startedSyncs = 0
  #isStopping = false
  #askAgain: Timer | undefined

  constructor(options: ControlLoopOptions) {
    this.#options = options
    this.#gate = new PushGate(options.clock)
    this.#target = new ControlTarget(options.runtime, options.decideElsewhere)
  }

  /** Takes in controls in their order; what is no good is ignored by rule. */
  deliver(controls: readonly Control[], source: ControlSource): void {
    if (source.kind === 'push' && !this.#gate.isOpen) return
    const counter = source.kind === 'sync' ? source.counter : undefined
    for (const control of controls) {
      if (this.#isStopping) return
      if (source.kind === 'push' && !this.#target.isDecidableNow(control)) {
        this.#options.onSyncWanted('unknown_task')
      } else if (isIssued(control)) this.#deliverIssued(control, source)
      else if (this.#unanswered.accepts(control, counter)) this.#deliverUnissued(control)
    }
  }

  /** A stream has opened. */
  streamOpened(): void {
    this.#gate.streamOpened()
  }

  /** A frame came down a stream with heartbeats of that period; call it before the frame's controls are delivered. */
  frame(heartbeatMs: number): void {
    this.#gate.frame(heartbeatMs, this.#startedSyncs)
    if (!this.#gate.isOpen) this.#options.onSyncWanted('standstill')
  }

  /**
   * Begins to decide what a crash interrupted: establishes states again, fails what may have been applied.
   * Later controls of a lane wait for that, others do not: a verb of the application may take its time.
   */
  recover(): void {
    const { ledger } = this.#options.journal
    for (const { taskId, action } of ledger.decisionsToEstablish()) {
      // The runtime's tasks start as they are meant to be; an application may not have learnt what it was told.
      if (this.#target.isElsewhere(taskId))
        this.#deliverInLane({ taskId, action, args: null }, () => this.#applyDecision(taskId, action))
    }
    for (const item of ledger.interrupted()) {
      if (item.kind === 'apply') {
        const { control } = item
        this.#deliverInLane(control, () => this.#applyAgain(control))
      } else if (item.record.type === 'outcome') {
        const { controlId, outcome } = item.record
        void this.#keepOutcome(controlId, outcome)
      }
    }
  }

  /**
   * A pause, resume or cancel made on this machine: journalled with what it rests on, then applied.
   * What the task refuses at once is not journalled.
   * @throws DownlinkError `journal_unavailable`; then nothing was decided.
   */
  decideLocally(taskId: string, action: StateVerb, decisionId: string): Promise<Outcome> {
    const { journal, patientJournal } = this.#options
    return this.#lanes.run(taskId, 'state', async () => {
      const answer = this.#target.answerAtOnce(taskId, action)
      if (answer !== undefined) return answer
      const before = journal.ledger.intendedState(taskId)
      await journal.append([journal.ledger.decideLocally(taskId, action, decisionId)])
      const diagnose = (step: 'journalled' | 'applied'): void =>
        publish('downlink:agent:decision', () => ({ step, decisionId, taskId, action }))
      diagnose('journalled')
      const outcome = await this.#applyDecision(taskId, action)
      diagnose('applied')
      if (outcome.state === 'failed') {
        await patientJournal.keep([{ type: 'intended', taskId, state: before }], `that ${action} failed`)
      }
      return outcome
    })
  }

  async #applyDecision(taskId: string, action: StateVerb): Promise<Outcome> {
    this.#unanswered.add(taskId, action, this.#startedSyncs)
    const outcome = await this.#target.apply({ action, taskId, args: null })
    // A sync that began while it was being applied may not have shown its effect.
    this.#unanswered.add(taskId, action, this.#startedSyncs)
    this.#options.onSyncWanted('decision')
    return outcome
  }

  /** A sync begins; returns its number. */
  syncStarted(): number {
    return ++this.#startedSyncs
  }

  /** The sync `counter` was answered: the server knows of every local decision made before it began. */
  syncAnswered(counter: number): void {
    this.#gate.syncAnswered(counter)
    this.#unanswered.syncAnswered(counter)
  }

  /** The hub has what this report said. */
  acknowledged(report: LedgerReport, acked: readonly string[]): void {
    const ids = new Set(acked)
    for (const { controlId } of report.outcomes) {
      if (!ids.has(controlId)) continue
      this.#decidedMs.delete(controlId)
      publish('downlink:agent:control', () => ({ step: 'acknowledged', controlId }))
    }
  }

  /** The outcomes with how long ago each was decided; of those of an earlier start nobody knows. */
  withAges(outcomes: readonly OutcomeReport[]): readonly OutcomeReport[] {
    const nowMs = this.#options.clock.monotonicMs()
    return outcomes.map((outcome) => {
      const decidedMs = outcome.state === 'stale' ? undefined : this.#decidedMs.get(outcome.controlId)
      return decidedMs === undefined
        ? outcome
        : { ...outcome, agoMs: Math.max(0, Math.round(nowMs - decidedMs)) }
    })
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    return this.#lanes.idle()
  }

  /** Begins nothing more; what is under way goes on. What was not journalled is handed out to the next start. */
  stop(): void {
    this.#isStopping = true
    this.#askAgain?.cancel()
  }

  #deliverIssued(control: IssuedControl, source: ControlSource): void {
    const { controlId } = control
    if (this.#underWay.has(controlId) || this.#isFull) return
    this.#underWay.add(controlId)
    const arrived = source.kind === 'push' ? this.#gate.now() : undefined
    this.#deliverInLane(control, async () => {
      try {
        await this.#decide(control, arrived)
      } finally {
        this.#underWay.delete(controlId)
      }
    })
  }

  #deliverUnissued(control: Control): void {
    if (this.#isFull) return
    this.#unissuedUnderWay++
    this.#deliverInLane(control, async () => {
      try {
        // Nothing is journalled: whatever still holds, such a server hands out again in every sync.
        if (!this.#isStopping) this.#options.onOutcome(control, await this.#target.apply(control))
      } finally {
        this.#unissuedUnderWay--
      }
    })
  }

  get #isFull(): boolean {
    return this.#underWay.size + this.#unissuedUnderWay >= limits.LEDGER_CONTROLS_MAX
  }

  async #decide(control: IssuedControl, pushedAt: Moment | undefined): Promise<void> {
    const { journal, onSyncWanted } = this.#options
    if (this.#isStopping) return
    if (pushedAt !== undefined && this.#gate.isTooOld(pushedAt)) {
      onSyncWanted('standstill')
      return
    }
    told('received', control)
    const verdict = journal.ledger.judge(control, this.#target.deliveryOf(control))
    told('decided', control, { verdict: verdict.kind })
    if (verdict.kind !== 'accept') {
      if (verdict.kind === 'stale') onSyncWanted('stale')
      return
    }
    await journal.append([verdict.record])
    told('journalled', control)
    await this.#applyAndKeep(control, await this.#target.apply(control))
  }

  async #applyAgain(control: IssuedControl): Promise<void> {
    const outcome = await this.#target.apply(control)
    // It may have been applied before the crash, so a failure now is not the whole truth.
    const said: Outcome =
      outcome.state === 'failed'
        ? {
            state: 'failed',
            code: 'interrupted',
            message: `The agent stopped while it applied ${control.action}, and applying it again failed: ${outcome.message}`,
          }
        : outcome
    await this.#applyAndKeep(control, said)
  }

  async #applyAndKeep(control: IssuedControl, outcome: Outcome): Promise<void> {
    this.#decidedMs.set(control.controlId, this.#options.clock.monotonicMs())
    told('applied', control, { outcome: outcome.state })
    if (await this.#keepOutcome(control.controlId, outcome)) this.#options.onOutcome(control, outcome)
  }

  async #keepOutcome(controlId: string, outcome: Outcome): Promise<boolean> {
    const { patientJournal, onSyncWanted } = this.#options
    const isKept = await patientJournal.keep(
      [{ type: 'outcome', controlId, outcome }],
      `the outcome of control ${controlId}`,
    )
    if (isKept) onSyncWanted('outcome')
    return isKept
  }

  #deliverInLane(control: Control, work: () => Promise<unknown>): void {
    const { taskId, action } = control
    this.#lanes.run(taskId, laneOf(action), work).catch((error: unknown) => {
      this.#options.onTrouble(
        error,
        `a control of task ${taskId} could not be decided; the hub hands it out again`,
      )
      if (this.#isStopping) return
      this.#askAgain ??= this.#options.clock.setTimer(limits.JOURNAL_ASK_AGAIN_MS, () => {
        this.#askAgain = undefined
        this.#options.onSyncWanted('undecided')
      })
    })
  }
}

/** Where tests kill the process, and tracing begins. */
function told(
  step: ControlStep,
  { controlId, taskId, action }: IssuedControl,
  more: Pick<AgentDiagnostics['downlink:agent:control'], 'verdict' | 'outcome'> = {},
): void {
  publish('downlink:agent:control', () => ({ step, controlId, taskId, action, ...more }))
}
