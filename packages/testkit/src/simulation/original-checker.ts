/** Says what is wrong with a run of an original, from what operators were told and what really happened. */
import type { ControlEntry, Mailbox } from '@downlink/hub/internal'
import { isTerminalStatus, limits, type IssuedControl } from '@downlink/protocol'
import type { Offer } from './sim-hub.ts'
import type { SimOriginal } from './sim-original.ts'

/** A control as an operator knows it. */
export interface AcceptedByOriginal {
  readonly controlId: string
  readonly taskId: string
  readonly action: string
  /** Undefined: the hub no longer knows it. */
  readonly final: ControlEntry | undefined
}

/** Watches a run while it goes on; collects what is wrong. */
export class OriginalWatch {
  readonly faults: string[] = []
  /** Everything that the hub ever said of a settled control. */
  readonly finals: Map<string, ControlEntry> = new Map()
  readonly #agent: SimOriginal
  readonly #nowMs: () => number
  /** The state of each task as of the last commit. */
  readonly #shown = new Map<string, string>()
  readonly #completed = new Set<string>()
  readonly #verbsOffered = new Set<string>()
  readonly #resumesOfferedMs = new Map<string, number>()
  readonly #settledMs = new Map<string, number>()

  constructor(agent: SimOriginal, nowMs: () => number) {
    this.#agent = agent
    this.#nowMs = nowMs
  }

  /** Looks at a commit as an operator with the page open would. */
  seeCommit(mailbox: Mailbox): void {
    for (const entry of mailbox.settled) {
      if (!this.finals.has(entry.controlId)) this.#seeSettled(entry)
      this.finals.set(entry.controlId, entry)
    }
    for (const { taskId, state } of mailbox.tasks) {
      if (this.#completed.has(taskId) && state !== 'completed') {
        this.faults.push(`untrue: ${taskId} was shown as completed and is ${state}`)
      }
      if (state === 'completed') this.#completed.add(taskId)
      const wasCancelled = this.#shown.get(taskId) === 'cancelled'
      if (state === 'cancelled' && !wasCancelled) this.#seeCancelled(taskId, mailbox)
      this.#shown.set(taskId, state)
    }
  }

  /** Looks at a reply. @param lives - of both ends: the pace of resumes is kept in memory, from reply to request. */
  seeReply(controls: readonly IssuedControl[], lives: string): void {
    for (const { controlId, action, taskId } of controls.filter((control) => control.action === 'resume')) {
      const key = `${controlId} ${lives}`
      const agoMs = this.#nowMs() - (this.#resumesOfferedMs.get(key) ?? -Infinity)
      if (agoMs < limits.ORIGINAL_RESUME_MS) {
        this.faults.push(`loop: ${action} ${taskId} (${controlId}) again after ${agoMs} ms`)
      }
      this.#resumesOfferedMs.set(key, this.#nowMs())
    }
  }

  /** Looks at what a reply carries beside what the hub knew. */
  seeOffer({ controls, taskIds, newest }: Offer): void {
    for (const { controlId, action, lane, taskId } of controls) {
      if (lane === 'state') continue
      if (this.#verbsOffered.has(controlId)) {
        this.faults.push(`twice: ${action} ${taskId} (${controlId}) is handed out again`)
      }
      this.#verbsOffered.add(controlId)
    }
    for (const taskId of taskIds) {
      const task = newest.tasks.find((other) => other.taskId === taskId)
      const stop = newest.open.find(
        (entry) => entry.taskId === taskId && (entry.action === 'cancel' || entry.action === 'pause'),
      )
      if (stop !== undefined) this.faults.push(`restart: ${taskId} is offered while a ${stop.action} is open`)
      if (task !== undefined && isTerminalStatus(task.state)) {
        this.faults.push(`restart: ${taskId} is offered and is shown as ${task.state}`)
      }
      const isResumed = controls.some((control) => control.action === 'resume' && control.taskId === taskId)
      if (!isResumed && task?.state !== 'assigned') {
        this.faults.push(`restart: ${taskId} is offered without a resume, and is ${task?.state}`)
      }
    }
  }

  /** Everything wrong once nothing more can happen. */
  finish(accepted: readonly AcceptedByOriginal[], mailbox: Mailbox): readonly string[] {
    return [
      ...this.faults,
      ...accepted.flatMap((control) => this.#settlement(control)),
      ...accepted.flatMap((control) => this.#afterCancel(control, mailbox)),
      ...this.#verbsTwice(),
      ...mailbox.tasks.flatMap(({ taskId, state }) => this.#stillShown(taskId, state)),
    ]
  }

  #seeSettled(entry: ControlEntry): void {
    const { action, taskId, outcome } = entry
    this.#settledMs.set(entry.controlId, this.#nowMs())
    if (outcome.state !== 'applied') return
    const control = `${action} ${taskId} (${entry.controlId})`
    const createdMs = Date.parse(entry.stamps.created?.at ?? '')
    const isRunning = this.#agent.world.get(taskId) === 'running'
    const startedMs = this.#agent.startedMs.get(taskId) ?? -Infinity
    const stoppedMs = this.#agent.stoppedMs.get(taskId) ?? -Infinity
    if (action === 'resume') {
      if (!isRunning && stoppedMs < createdMs) {
        this.faults.push(`untrue: ${control} is said to be applied, and the task never ran`)
      }
      return
    }
    if (isRunning && startedMs < createdMs) {
      this.faults.push(`untrue: ${control} is said to be applied, and the task ran all the time`)
    }
    if (this.#completed.has(taskId)) {
      this.faults.push(`untrue: ${control} is said to be applied, and the task had completed`)
    }
  }

  /**
   * What never ran counts as cancelled by never being started. Of what is absent anyhow nobody can tell whether the
   * cancel arrived, as no message of an original says so; should it run again, the hub shows that as diverged.
   */
  #seeCancelled(taskId: string, { settled }: Mailbox): void {
    const wasAsked = settled.some((entry) => entry.taskId === taskId && entry.action === 'cancel')
    const isAtWork = this.#agent.world.get(taskId) === 'running' && !this.#agent.cancelled.has(taskId)
    if (wasAsked && !isAtWork) return
    this.faults.push(
      `untrue: ${taskId} is shown as cancelled, is ${this.#agent.world.get(taskId)} and never was`,
    )
  }

  #settlement(control: AcceptedByOriginal): string[] {
    const { controlId, taskId, action, final } = control
    const name = `${action} ${taskId} (${controlId})`
    if (final === undefined) return [`lost: ${name} was accepted and is unknown`]
    const { outcome, unconfirmed, mayHaveApplied } = final
    const isSettled = unconfirmed === true || (outcome.state !== 'pending' && outcome.state !== 'delivered')
    if (!isSettled) return [`unsettled: ${name} is still ${outcome.state} after the calm`]
    const isDenied = outcome.state === 'superseded' || outcome.state === 'expired'
    if (isDenied && mayHaveApplied !== true && this.#agent.seen.has(controlId)) {
      return [`contradiction: ${name} reached the agent and is said to be ${outcome.state}, never written`]
    }
    return []
  }

  /** A cancel that is said to be applied must hold, unless somebody at the agent or a later resume undid it. */
  #afterCancel({ controlId, taskId, action, final }: AcceptedByOriginal, mailbox: Mailbox): string[] {
    if (action !== 'cancel' || final?.outcome.state !== 'applied') return []
    const settledMs = this.#settledMs.get(controlId) ?? Infinity
    const restart = this.#agent.effects.find(
      (effect) =>
        effect.what === 'start' &&
        effect.taskId === taskId &&
        effect.from === 'cancelled' &&
        effect.atMs >= settledMs,
    )
    const isUndone = [...this.finals.values()].some(
      (other) => other.taskId === taskId && other.action === 'resume' && other.revision > final.revision,
    )
    if (isUndone) return []
    const restarted = restart === undefined ? [] : [`restart: ${taskId} was started after its cancel`]
    const { diverged } = mailbox.settled.find((entry) => entry.controlId === controlId) ?? final
    const isRunning = this.#agent.world.get(taskId) === 'running' && diverged !== true
    return isRunning
      ? [...restarted, `lost: ${taskId} runs, its cancel (${controlId}) is applied`]
      : restarted
  }

  #verbsTwice(): string[] {
    const counts = new Map<string, number>()
    for (const { what, controlId } of this.#agent.effects) {
      if (controlId === undefined || what === 'cancel' || what === 'pause') continue
      counts.set(controlId, (counts.get(controlId) ?? 0) + 1)
    }
    return [...counts].flatMap(([id, count]) => (count > 1 ? [`twice: ${id} came ${count} times`] : []))
  }

  #stillShown(taskId: string, state: string): string[] {
    const real = this.#agent.world.get(taskId)
    const isShownAtWork = state === 'running' || state === 'queued' || state === 'paused'
    return isShownAtWork === (real === 'running')
      ? []
      : [`stale: ${taskId} is ${real} and still shown as ${state} after the calm`]
  }
}
