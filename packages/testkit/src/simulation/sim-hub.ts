/** A hub in a simulation: the real life cycle over a disk that commits late and a process that dies. */
import {
  controlsToPush,
  createControl,
  createTask,
  decideSync,
  emptyMailbox,
  expireControls,
  findControl,
  type ControlEntry,
  type CreateResult,
  type CreateTaskResult,
  type Mailbox,
  type NewControl,
  type NewTaskRequest,
  type SyncAnswer,
  type WriteRecord,
} from '@downlink/hub/internal'
import type { IssuedControl, SyncRequest } from '@downlink/protocol'
import type { Scheduler } from './scheduler.ts'

/** A part of the design to leave out, to see that the checker notices. */
export type Mutant = 'none' | 'dedupe' | 'supersession' | 'commit-before-reply' | 'stale-check'

/** One agent's hub. */
export class SimHub {
  life = 0
  up = true
  /** Told of everything that a commit made true. */
  onCommit: (mailbox: Mailbox) => void = () => undefined
  push: (controls: readonly IssuedControl[]) => void = () => undefined
  /** The journal that the agent's open stream named when it was opened. */
  streamJournalId: () => string | undefined = () => undefined
  readonly #scheduler: Scheduler
  readonly #mutant: Mutant
  #disk: Mailbox
  #diskServiceMs = 0
  #diskEpoch = 1
  #backup: Mailbox
  #staged: Mailbox | undefined
  #written = new Map<string, WriteRecord>()
  #startedMs = 0
  #lastCommitMs = 0

  constructor(scheduler: Scheduler, agentId: string, mutant: Mutant) {
    this.#scheduler = scheduler
    this.#mutant = mutant
    this.#disk = emptyMailbox(agentId)
    this.#backup = this.#disk
  }

  get committed(): Mailbox {
    return this.#disk
  }

  createControl(
    control: NewControl,
    reply: (result: CreateResult, record: ControlEntry | undefined) => void,
  ): void {
    let result: CreateResult | undefined
    const after = this.#update((mailbox) => {
      const decision = createControl(mailbox, control, this.#time(), this.#written)
      result = decision.result
      return this.#mutant === 'supersession'
        ? withoutSupersession(mailbox, decision.mailbox)
        : decision.mailbox
    })
    const answer = (): void => {
      if (result === undefined) return
      reply(result, result.kind === 'refused' ? undefined : findControl(this.#newest(), result.controlId))
    }
    if (this.#mutant === 'commit-before-reply') answer()
    after(() => {
      if (this.#mutant !== 'commit-before-reply') answer()
      this.#handOut()
    })
  }

  createTask(task: NewTaskRequest, reply: (result: CreateTaskResult) => void): void {
    let result: CreateTaskResult | undefined
    this.#update((mailbox) => {
      const decision = createTask(mailbox, task, this.#time(), this.#written)
      result = decision.result
      return decision.mailbox
    })(() => {
      if (result !== undefined) reply(result)
    })
  }

  sync(request: SyncRequest, reply: (answer: SyncAnswer) => void): void {
    const beganServiceMs = this.#serviceMs()
    let answer: SyncAnswer | undefined
    this.#update((mailbox) => {
      const decision = decideSync(mailbox, request, { ...this.#time(), beganServiceMs }, this.#written)
      answer = 'answer' in decision ? decision.answer : undefined
      return decision.mailbox
    })(() => {
      if (answer === undefined) return
      const controls = this.#stillOpen(answer.controls)
      this.#noteWritten(controls)
      reply({ ...answer, controls })
    })
  }

  expire(): void {
    this.#update((mailbox) => expireControls(mailbox, this.#time(), this.#written).mailbox)(() => undefined)
  }

  backUp(): void {
    this.#backup = this.#disk
  }

  crash(): void {
    this.life++
    this.up = false
    this.#staged = undefined
    this.#written = new Map()
  }

  start(options: { restoreBackup: boolean }): void {
    this.life++
    this.up = true
    if (options.restoreBackup) this.#disk = this.#backup
    // As the store does at every opening; a restored backup without it is the stale check's to find.
    if (!options.restoreBackup) this.#diskEpoch++
    this.#startedMs = this.#scheduler.nowMs
  }

  #handOut(): void {
    const controls = this.#stillOpen(controlsToPush(this.#disk, this.#serviceMs(), this.streamJournalId()))
    if (controls.length === 0) return
    this.#noteWritten(controls)
    this.push(controls)
  }

  /** Leaves out what a decision on its way to the disk has settled: it counted on these not having been written. */
  #stillOpen(controls: readonly IssuedControl[]): readonly IssuedControl[] {
    const open = new Set(this.#newest().open.map((entry) => entry.controlId))
    return controls.filter((control) => open.has(control.controlId))
  }

  #noteWritten(controls: readonly IssuedControl[]): void {
    const serviceMs = this.#serviceMs()
    for (const { controlId } of controls) {
      const first = this.#written.get(controlId)
      this.#written.set(controlId, {
        firstWallMs: first?.firstWallMs ?? this.#scheduler.nowMs,
        firstServiceMs: first?.firstServiceMs ?? serviceMs,
        lastServiceMs: serviceMs,
      })
    }
  }

  /** Stages a change; the returned function runs its argument once that is on the disk, unless the hub dies first. */
  #update(change: (mailbox: Mailbox) => Mailbox): (done: () => void) => void {
    const before = this.#newest()
    const after = change(before)
    const life = this.life
    if (after === before && this.#staged === undefined) return (done) => done()
    this.#staged = after
    // Commits keep their order: a later one is never on the disk before an earlier one.
    this.#lastCommitMs = Math.max(this.#lastCommitMs, this.#scheduler.nowMs + this.#scheduler.between(1, 15))
    const commitMs = this.#lastCommitMs
    return (done) => {
      this.#scheduler.after(commitMs - this.#scheduler.nowMs, () => {
        if (this.life !== life) return
        this.#diskServiceMs = this.#serviceMs()
        this.#startedMs = this.#scheduler.nowMs
        this.#disk = after
        if (this.#staged === after) this.#staged = undefined
        this.onCommit(after)
        done()
      })
    }
  }

  #newest(): Mailbox {
    return this.#staged ?? this.#disk
  }

  #serviceMs(): number {
    return this.#diskServiceMs + (this.#scheduler.nowMs - this.#startedMs)
  }

  #time(): { wallMs: number; serviceMs: number; epoch: number; hubBoot: string } {
    return {
      wallMs: this.#scheduler.nowMs,
      serviceMs: this.#serviceMs(),
      epoch: this.#diskEpoch,
      hubBoot: `hub-${this.life}`,
    }
  }
}

function withoutSupersession(before: Mailbox, after: Mailbox): Mailbox {
  const revived = before.open.filter(
    (entry) => !after.open.some((other) => other.controlId === entry.controlId),
  )
  return { ...after, open: [...revived, ...after.open], settled: before.settled }
}
