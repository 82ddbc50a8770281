/**
 * The rules of a hub for one agent that acknowledges, small enough to read: lanes, revisions, outcomes, observation.
 * Left out: times to live, idempotency keys, bounds, and agents of the original wire. The vectors say what it must do.
 */
import {
  compareRevisions,
  controlIdOf,
  DownlinkError,
  isStateVerb,
  isTerminalStatus,
  laneOf,
  limits,
  type Boot,
  type ControlState,
  type DecisionReport,
  type IssuedControl,
  type Json,
  type NewTask,
  type OutcomeReport,
  type SyncRequest,
} from '@downlink/protocol'
import {
  issuedOf,
  sameLane,
  type ControlWish,
  type Entry,
  type TaskEntry,
  type TestControl,
} from './test-control.ts'
import { observe } from './test-observation.ts'

/** What a sync is answered. `clone`: a start of the agent that a newer one has replaced. */
export type MailboxAnswer =
  | 'clone'
  | {
      readonly acked: readonly string[]
      readonly controls: readonly IssuedControl[]
      readonly newTasks: readonly NewTask[]
    }

/** Holds the controls and tasks of one agent. */
export class TestMailbox {
  /** Grows with every change that the agent could want to fetch. */
  version: number = 0
  readonly tasks: Map<string, TaskEntry> = new Map<string, TaskEntry>()
  readonly #agentId: string
  #open: Entry[] = []
  #settled: Entry[] = []
  #epoch = 1
  #revision = 0
  #life = 1
  #minted = 0
  #journalId: string | undefined
  #journalPosition = 0
  #boot: Boot | undefined
  readonly #earlierBoots = new Set<string>()

  constructor(agentId: string) {
    this.#agentId = agentId
  }

  /** The hub dies and starts again on the same store: a higher epoch begins. */
  restart(): void {
    this.#life++
    this.#epoch++
    this.version++
  }

  /** A control, open or settled; undefined if there is none of this id. */
  find(controlId: string): TestControl | undefined {
    return this.#find(controlId)
  }

  /** Of all, the settled ones first, each in the order of its becoming so. */
  get controls(): readonly TestControl[] {
    return [...this.#settled, ...this.#open]
  }

  /** Whether this start of the agent has been replaced by a newer one. */
  isReplaced(bootNonce: string): boolean {
    return this.#earlierBoots.has(bootNonce)
  }

  /** @throws DownlinkError `task_cancelling`. */
  control(wish: ControlWish): TestControl {
    const { action, taskId } = wish
    const lane = laneOf(action)
    const isState = isStateVerb(action)
    const rivals = this.#open.filter((other) => other.taskId === taskId && other.lane === lane)
    if (isState && rivals.some((other) => other.action === 'cancel')) {
      throw new DownlinkError('task_cancelling', `Task ${taskId} is being cancelled; nothing overtakes that.`)
    }
    const entry: Entry = {
      controlId: wish.controlId ?? controlIdOf(this.#agentId, `c${++this.#minted}`),
      epoch: this.#epoch,
      revision: ++this.#revision,
      lane,
      action,
      taskId,
      args: wish.args ?? null,
      delivery: isState ? 'atLeastOnce' : (wish.delivery ?? 'atMostOnce'),
      lanePolicy: isState ? 'latest' : (wish.lanePolicy ?? 'queue'),
      life: this.#life,
      outcome: { state: 'pending' },
      isObserved: false,
      isWritten: false,
      mayHaveApplied: false,
      hasDiverged: false,
      endedOtherwise: false,
    }
    if (entry.lanePolicy === 'latest') {
      for (const older of rivals) this.#settle(older, { state: 'superseded', byControlId: entry.controlId })
    }
    this.#open.push(entry)
    const task = this.tasks.get(taskId)
    if (task?.isHubMade === true && isTerminalStatus(task.state)) {
      const message = `Task ${taskId} is already finished; there is nothing left to ${action}.`
      this.#settle(entry, { state: 'failed', code: 'already_finished', message })
    }
    this.version++
    return entry
  }

  /** Assigns a task to the agent. @throws DownlinkError `task_exists`. */
  task(taskId: string, kind: string, input: Json): void {
    if (this.tasks.has(taskId)) {
      throw new DownlinkError('task_exists', `There is a task ${taskId} already; take another id.`)
    }
    this.tasks.set(taskId, { taskId, kind, input, isHubMade: true, state: 'assigned' })
    this.version++
  }

  /** Of every lane the oldest open control: nothing overtakes. */
  toHandOut(): readonly IssuedControl[] {
    return this.#open
      .filter((entry) => this.#open.find((other) => sameLane(other, entry)) === entry)
      .map(issuedOf)
  }

  /** Whether it may go down a stream: what must not be applied twice, only to the journal that is known. */
  mayPush({ delivery }: IssuedControl, streamJournalId: string | undefined): boolean {
    return delivery !== 'atMostOnce' || (streamJournalId !== undefined && streamJournalId === this.#journalId)
  }

  get assignedTaskIds(): readonly string[] {
    return [...this.tasks.values()].flatMap(({ taskId, state }) => (state === 'assigned' ? [taskId] : []))
  }

  /** These went out to the agent. */
  written(controls: readonly IssuedControl[]): void {
    for (const { controlId } of controls) {
      const entry = this.#open.find((other) => other.controlId === controlId)
      if (entry === undefined) continue
      entry.isWritten = true
      if (entry.outcome.state === 'pending') entry.outcome = { state: 'delivered' }
    }
  }

  /** Takes in one sync and says what to answer. */
  sync(request: SyncRequest): MailboxAnswer {
    const { boot, journalId, journalPosition = 0, journalOpenedAt = journalPosition } = request
    if (boot !== undefined && this.#earlierBoots.has(boot.bootNonce)) return 'clone'
    // A sync that was overtaken still settles controls, but shows tasks as they no longer are.
    const isOvertaken =
      boot !== undefined &&
      boot.bootNonce === this.#boot?.bootNonce &&
      boot.connectCounter < this.#boot.connectCounter
    const isNewBoot = boot !== undefined && boot.bootNonce !== this.#boot?.bootNonce
    const isRestored = isNewBoot && journalOpenedAt < this.#journalPosition
    if (boot !== undefined && !isOvertaken) {
      if (this.#boot !== undefined && this.#boot.bootNonce !== boot.bootNonce) {
        this.#earlierBoots.add(this.#boot.bootNonce)
      }
      this.#boot = boot
    }
    const isLost = journalId !== this.#journalId || isRestored
    if (isLost && this.#journalId !== undefined) this.#loseJournal()
    this.#journalId = journalId
    if (!isOvertaken) this.#journalPosition = journalPosition
    for (const id of request.received) {
      const entry = this.#open.find((other) => other.controlId === id)
      if (entry !== undefined) this.written([entry])
    }
    for (const outcome of request.outcomes) this.#takeOutcome(outcome)
    for (const decision of request.decisions) this.#takeDecision(decision)
    if (!isOvertaken) observe(request, this.#open, this.#settled, this.tasks)
    const newTasks = isOvertaken ? [] : this.#newTasks(request)
    const known = new Set([...request.tasks.map(({ taskId }) => taskId), ...newTasks.map(({ id }) => id)])
    const controls = this.toHandOut().filter(
      // The agent would refuse what concerns a task that it does not have yet.
      ({ taskId }) => known.has(taskId) || this.tasks.get(taskId)?.state !== 'assigned',
    )
    return {
      acked: [
        ...request.outcomes.map(({ controlId }) => controlId),
        ...request.decisions.map(({ decisionId }) => decisionId),
      ],
      controls,
      newTasks,
    }
  }

  #find(controlId: string): Entry | undefined {
    return [...this.#open, ...this.#settled].find((entry) => entry.controlId === controlId)
  }

  #mayBeWritten(entry: Entry): boolean {
    return entry.isWritten || entry.life !== this.#life
  }

  #settle(entry: Entry, outcome: ControlState): void {
    this.#open = this.#open.filter((other) => other !== entry)
    this.#settled.push(entry)
    entry.outcome = outcome
    entry.mayHaveApplied = outcome.state === 'superseded' && this.#mayBeWritten(entry)
    this.version++
  }

  #loseJournal(): void {
    for (const entry of this.#open) {
      if (entry.delivery !== 'atMostOnce' || !this.#mayBeWritten(entry)) continue
      const message = 'The agent lost its journal after this control was sent; it may have been applied.'
      this.#settle(entry, { state: 'failed', code: 'journal_lost', message })
    }
  }

  #takeOutcome(report: OutcomeReport): void {
    const entry = this.#find(report.controlId)
    if (entry === undefined) return
    const isOpen = this.#open.includes(entry)
    if (report.state === 'stale') {
      if (isOpen && compareRevisions(report, entry) >= 0) this.#takeStale(entry, report)
      return
    }
    const outcome: ControlState =
      report.state === 'applied'
        ? { state: 'applied', confirmedBy: 'agent' }
        : { state: 'failed', code: report.code, message: report.message }
    if (isOpen) {
      this.#settle(entry, outcome)
      entry.isObserved = report.state === 'applied' && !isStateVerb(entry.action)
    } else if (entry.outcome.state === 'superseded') entry.lateOutcome ??= outcome
  }

  /** Issues the same control again above what the agent has seen, with what waits behind it. */
  #takeStale(entry: Entry, { highWater, local }: Extract<OutcomeReport, { state: 'stale' }>): void {
    if (local) return this.#settle(entry, { state: 'superseded', byControlId: 'local' })
    const isHistoryLost = compareRevisions(highWater, { epoch: this.#epoch, revision: this.#revision }) > 0
    if (isHistoryLost) this.#epoch = Math.max(this.#epoch, highWater.epoch + 1)
    this.#revision = Math.max(this.#revision, highWater.revision)
    if (entry.delivery === 'atMostOnce' && entry.life !== this.#life) {
      const message = 'This control was open before the hub started; it may have been applied.'
      return this.#settle(entry, { state: 'failed', code: 'history_lost', message })
    }
    const behind = this.#open.filter((other) => sameLane(other, entry) && compareRevisions(other, entry) >= 0)
    for (const other of behind) {
      other.epoch = this.#epoch
      other.revision = ++this.#revision
    }
    this.version++
  }

  #takeDecision({ taskId, basedOn }: DecisionReport): void {
    for (const entry of this.#open) {
      const isOverruled =
        entry.taskId === taskId && entry.lane === 'state' && compareRevisions(entry, basedOn) <= 0
      if (isOverruled) this.#settle(entry, { state: 'superseded', byControlId: 'local' })
    }
  }

  /** One with an open control goes first and always. */
  #newTasks({ tasks, freeSlots }: SyncRequest): readonly NewTask[] {
    const listed = new Set(tasks.map(({ taskId }) => taskId))
    const controlled = new Set(this.#open.map(({ taskId }) => taskId))
    const wanted = [...this.tasks.values()].filter(
      (task) => task.state === 'assigned' && !listed.has(task.taskId),
    )
    const urgent = wanted.filter((task) => controlled.has(task.taskId))
    const waiting = wanted.filter((task) => !controlled.has(task.taskId)).slice(0, freeSlots)
    return [...urgent, ...waiting].slice(0, limits.NEW_TASKS_PER_SYNC_MAX).map((task) => ({
      id: task.taskId,
      ...(task.kind === undefined ? {} : { kind: task.kind }),
      input: task.input ?? null,
    }))
  }
}
