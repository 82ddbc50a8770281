/** A hub in a simulation: the real life cycle over a disk that commits late and a process that dies. */
import {
  controlsToHandOut,
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
export type Mutant =
  | 'none'
  | 'dedupe'
  | 'supersession'
  | 'commit-before-reply'
  | 'stale-check'
  /** The journal is written anew without what was decided. */
  | 'forgetful-compaction'
  /** The hub believes a journal by its id alone. */
  | 'any-position'
  /** A verb that is `atMostOnce` and was interrupted is applied again. */
  | 'verb-again'
  /** Originals: one sync without the task settles a cancel or pause. */
  | 'settle-after-one-sync'
  /** Originals: a verb of the application's own is handed out in every sync. */
  | 'verbs-again'
  /** Originals: what a resume starts goes out although a cancel of it is on its way to the disk. */
  | 'overtaken-tasks'

/** What a reply offers, beside what the hub knew when it decided on it. */
export interface Offer {
  readonly controls: readonly IssuedControl[]
  readonly taskIds: readonly string[]
  /** The newest decision, committed or not. */
  readonly newest: Mailbox
}

/** One agent's hub. */
export class SimHub {
  life = 0
  up = true
  /** Told of everything that a commit made true. */
  onCommit: (mailbox: Mailbox) => void = () => undefined
  /** Told of what each answer to a sync carries, when it is sent. */
  onOffer: (offer: Offer) => void = () => undefined
  push: (controls: readonly IssuedControl[]) => void = () => undefined
  /** Pushes a `sync` event. */
  nudge: () => void = () => undefined
  /** The journal that the agent's open stream named when it was opened. */
  stream: () => Parameters<typeof controlsToPush>[2] = () => ({ journal: undefined })
  /** The agent's stream is that of an original: only what it can apply is pushed. */
  readonly #isOriginal: boolean
  readonly #scheduler: Scheduler
  readonly #mutant: Mutant
  #disk: Mailbox
  #diskServiceMs = 0
  #diskEpoch = 1
  #backup: Mailbox
  #staged: Mailbox | undefined
  #written = new Map<string, WriteRecord | undefined>()
  #startedMs = 0
  #lastCommitMs = 0

  constructor(scheduler: Scheduler, agentId: string, mutant: Mutant, isOriginal = false) {
    this.#scheduler = scheduler
    this.#mutant = mutant
    this.#isOriginal = isOriginal
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

  sync(sent: SyncRequest, reply: (answer: SyncAnswer) => void): void {
    const isCredulous = this.#mutant === 'any-position'
    const request = isCredulous ? { ...sent, journalOpenedAt: Number.MAX_SAFE_INTEGER } : sent
    const beganServiceMs = this.#serviceMs()
    let answer: SyncAnswer | undefined
    let offer: Offer | undefined
    this.#update((mailbox) => {
      const time = { ...this.#time(), beganServiceMs }
      const again = this.#mutant === 'settle-after-one-sync'
      const before = again ? decideSync(mailbox, request, time, this.#written).mailbox : mailbox
      const decision = decideSync(before, request, time, this.#written)
      answer = undefined
      if ('clone' in decision) return decision.mailbox
      answer = this.#notOvertaken(decision.answer, decision.mailbox)
      // From here on a decision must count on the agent's having seen them.
      for (const { controlId } of answer.controls) {
        if (!this.#written.has(controlId)) this.#written.set(controlId, undefined)
      }
      const isNewer = this.#newest().version > decision.mailbox.version
      offer = {
        controls: answer.controls,
        taskIds: answer.newTasks.map((task) => task.id),
        newest: isNewer ? this.#newest() : decision.mailbox,
      }
      return this.#mutant === 'verbs-again' ? withVerbsOpen(mailbox, decision.mailbox) : decision.mailbox
    })(() => {
      if (answer === undefined || offer === undefined) return
      this.onOffer(offer)
      this.#noteWritten(answer.controls)
      reply(answer)
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
    if (this.#isOriginal) return this.#handOutToOriginal()
    const controls = this.#stillOpen(controlsToPush(this.#disk, this.#serviceMs(), this.stream()))
    if (controls.length === 0) return
    this.#noteWritten(controls)
    this.push(controls)
  }

  #handOutToOriginal(): void {
    const controls = this.#stillOpen(controlsToHandOut(this.#disk, this.#serviceMs()))
    const pushed = controls.filter(({ action }) => action === 'cancel' || action === 'pause')
    this.#noteWritten(pushed)
    if (pushed.length > 0) this.push(pushed)
    if (pushed.length < controls.length) this.nudge()
  }

  /** Leaves out what a decision on its way to the disk has settled: it counted on these not having been written. */
  #stillOpen(controls: readonly IssuedControl[]): readonly IssuedControl[] {
    const open = new Set(this.#newest().open.map((entry) => entry.controlId))
    return controls.filter((control) => open.has(control.controlId))
  }

  /** An answer from committed state must not contradict what is staged; one that is staged itself cannot. */
  #notOvertaken(answer: SyncAnswer, mailbox: Mailbox): SyncAnswer {
    const staged = this.#staged
    if (staged === undefined || staged.version <= mailbox.version) return answer
    const controls = this.#stillOpen(answer.controls)
    if (!this.#isOriginal || this.#mutant === 'overtaken-tasks') return { ...answer, controls }
    const newTasks = answer.newTasks.filter(({ id }) => {
      const open = staged.open.find((entry) => entry.taskId === id && entry.lane === 'state')
      if (open !== undefined) return controls.some((control) => control.controlId === open.controlId)
      return staged.tasks.some((task) => task.taskId === id && task.state === 'assigned')
    })
    return { ...answer, controls, newTasks }
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
    const life = this.life
    // As the store does: what changes nothing is answered from committed state, everything else rests on the newest.
    const changed = change(this.#disk)
    if (changed === this.#disk) return (done) => done()
    const after = this.#staged === undefined ? changed : change(this.#staged)
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

function withVerbsOpen(before: Mailbox, after: Mailbox): Mailbox {
  const handedOut = before.open.filter(
    (entry) => entry.lane !== 'state' && !after.open.some((other) => other.controlId === entry.controlId),
  )
  return { ...after, open: [...handedOut, ...after.open] }
}
