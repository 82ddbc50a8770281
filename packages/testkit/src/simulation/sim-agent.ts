/** An agent in a simulation: the real ledger over a disk that keeps records late and a process that dies. */
import { compactLedger, Ledger, type LedgerRecord, type LedgerReport } from '@downlink/agent/internal'
import {
  isStateVerb,
  isTerminalStatus,
  type IssuedControl,
  type StateVerb,
  type SyncRequest,
  type TaskReport,
} from '@downlink/protocol'
import type { SyncAnswer } from '@downlink/hub/internal'
import type { Effect } from './effect.ts'
import type { Scheduler } from './scheduler.ts'
import type { Mutant } from './sim-hub.ts'
import { SimLanes } from './sim-lanes.ts'

/** What a control fails with that may have been applied before a crash and cannot be applied now. */
const INTERRUPTED = { code: 'interrupted', message: '' }

type WorldState = 'running' | 'paused' | 'cancelled' | 'completed'

/** One agent. */
export class SimAgent {
  life = 0
  up = true
  readonly effects: Effect[] = []
  /** What each task really does. */
  readonly world: Map<string, WorldState> = new Map()
  send: (request: SyncRequest, reply: (answer: SyncAnswer) => void) => void = () => undefined
  readonly #scheduler: Scheduler
  readonly #mutant: Mutant
  readonly #agentId: string
  #disk: LedgerRecord[]
  #copy: LedgerRecord[] = []
  #ledger: Ledger
  #counter = 0
  #syncing = false
  #syncOwed = false
  #journals = 1
  #decisions = 0
  readonly #lanes = new SimLanes()

  constructor(scheduler: Scheduler, agentId: string, mutant: Mutant) {
    this.#scheduler = scheduler
    this.#agentId = agentId
    this.#mutant = mutant
    this.#disk = [{ type: 'journal', journalId: 'journal-1' }]
    this.#ledger = new Ledger(this.#disk)
  }

  /** What its stream's request named. */
  get stream(): { readonly bootNonce: string; readonly journal: string } {
    const { journalId, openedAt } = this.#ledger
    return { bootNonce: `boot-${this.life}`, journal: `${journalId} ${openedAt}` }
  }

  /** Nothing is on its way to being applied or reported. */
  get isQuiet(): boolean {
    const report = this.#ledger.report()
    return report.outcomes.length + report.received.length + report.decisions.length === 0
  }

  /** Undefined once the hub has seen the task's end and the agent has let go of it. */
  intendedState(taskId: string): string | undefined {
    return this.#ledger.state.tasks.has(taskId) ? this.#ledger.intendedState(taskId) : undefined
  }

  /** Somebody copies the journal, to put it back one day. */
  copyJournal(): void {
    this.#copy = [...this.#disk]
  }

  /** @returns whether there was a copy of what the hub knows to be the past. */
  restoreJournal(hub: { readonly journalId?: string; readonly journalPosition?: number }): boolean {
    const { journalId, state } = new Ledger(this.#copy)
    const isPast = journalId === hub.journalId && state.position < (hub.journalPosition ?? 0)
    if (isPast) this.#disk = [...this.#copy]
    return isPast
  }

  crash(options: { loseJournal: boolean }): void {
    this.life++
    this.up = false
    this.#lanes.clear()
    this.#syncing = false
    if (options.loseJournal) this.#disk = [{ type: 'journal', journalId: `journal-${++this.#journals}` }]
  }

  /** Writes the journal anew, as it does when it has grown. */
  compact(): void {
    if (!this.up) return
    const records = compactLedger(this.#ledger.state, this.#scheduler.nowMs)
    const isForgetful = this.#mutant === 'forgetful-compaction'
    this.#disk = records.filter(({ type }) => !isForgetful || type === 'journal' || type === 'task')
  }

  start(): void {
    this.life++
    this.up = true
    this.#counter = 0
    this.#ledger = new Ledger(this.#disk)
    for (const task of this.#ledger.state.tasks.values()) {
      if (task.end === undefined) this.world.set(task.taskId, this.#ledger.intendedState(task.taskId))
    }
    for (const item of this.#ledger.interrupted()) {
      if (item.kind === 'fail' && this.#mutant !== 'verb-again') this.#keep(item.record, () => this.sync())
      else if (item.kind === 'fail') this.#verbAgain(item.record)
      else this.#lanes.run(item.control, (done) => this.#apply(item.control, done, INTERRUPTED))
    }
    for (const task of this.#ledger.state.tasks.values()) {
      if (task.end === undefined && this.#ledger.intendedState(task.taskId) === 'cancelled') {
        this.#end(task.taskId, 'cancelled')
      }
    }
  }

  /** A pushed command: an unknown task may be one that only a sync brings. */
  receivePush(controls: readonly IssuedControl[]): void {
    for (const control of controls) {
      if (this.#ledger.state.tasks.has(control.taskId)) this.#receive(control)
      else this.sync()
    }
  }

  /** Single flight; a request that no answer comes to is given up after a while. */
  sync(): void {
    if (!this.up) return
    if (this.#syncing) {
      this.#syncOwed = true
      return
    }
    this.#syncing = true
    const counter = ++this.#counter
    const report = this.#ledger.report()
    const tasks = [...this.#ledger.state.tasks.values()].map((task) =>
      this.#taskReport(task.taskId, task.end?.status),
    )
    const finish = (): void => {
      if (counter !== this.#counter || !this.#syncing) return
      this.#syncing = false
      if (this.#syncOwed) {
        this.#syncOwed = false
        this.sync()
      }
    }
    const life = this.life
    this.#scheduler.after(400, () => {
      if (this.life === life) finish()
    })
    this.send(this.#request(report, tasks, counter), (answer) => {
      if (counter !== this.#counter || !this.#syncing) return
      this.#takeIn(answer, report, tasks)
      finish()
    })
  }

  decideLocally(taskId: string, action: StateVerb): void {
    if (!this.up || !this.#ledger.state.tasks.has(taskId)) return
    const pseudo = { taskId, lane: 'state' }
    this.#lanes.run(pseudo, (done) => {
      if (this.#isOver(taskId) || this.#ledger.intendedState(taskId) === 'cancelled') return done()
      const record = this.#ledger.decideLocally(taskId, action, `d-${++this.#decisions}`)
      if (record.type !== 'decision') return done()
      this.#keep(record, () => {
        this.#affect(taskId, action, { ...pseudo, action, delivery: 'atLeastOnce', ...record.basedOn })
        done()
        this.sync()
      })
    })
  }

  complete(taskId: string): void {
    if (this.up && this.world.get(taskId) === 'running') this.#end(taskId, 'completed')
  }

  #verbAgain(record: LedgerRecord): void {
    const intent = record.type === 'outcome' ? this.#ledger.state.intents.get(record.controlId) : undefined
    if (intent !== undefined) this.#lanes.run(intent.control, (done) => this.#apply(intent.control, done))
  }

  #takeIn(answer: SyncAnswer, report: LedgerReport, tasks: readonly TaskReport[]): void {
    this.#ledger.acknowledge(report, answer.acked)
    for (const task of tasks) {
      if (isTerminalStatus(task.status)) {
        this.#keep({ type: 'drop', taskId: task.taskId, wallMs: this.#scheduler.nowMs }, () => undefined)
      }
    }
    for (const task of answer.newTasks) {
      if (this.#ledger.state.tasks.has(task.id)) continue
      this.#keep({ type: 'task', taskId: task.id, kind: task.kind ?? '', input: task.input ?? null }, () => {
        this.world.set(task.id, 'running')
      })
    }
    // Behind the records of the tasks, which keep their order.
    const life = this.life
    this.#scheduler.after(9, () => {
      if (this.life === life) for (const control of answer.controls) this.#receive(control)
    })
  }

  #receive(control: IssuedControl): void {
    this.#lanes.run(control, (done) => {
      const delivery = control.action === 'reload' ? 'atLeastOnce' : 'atMostOnce'
      const verdict = this.#ledger.judge(control, delivery)
      const ignored =
        (verdict.kind === 'duplicate' && this.#mutant === 'dedupe') ||
        (verdict.kind === 'stale' && this.#mutant === 'stale-check')
      if (verdict.kind !== 'accept' && !ignored) {
        if (verdict.kind === 'stale') this.sync()
        return done()
      }
      this.#keep({ type: 'intent', control, delivery }, () => this.#apply(control, done))
    })
  }

  #apply(control: IssuedControl, done: () => void, refusal?: { code: string; message: string }): void {
    const life = this.life
    this.#scheduler.after(this.#scheduler.between(0, 5), () => {
      if (this.life !== life) return
      const failure = this.#refusal(control)
      if (failure === undefined) {
        const delivery =
          isStateVerb(control.action) || control.action === 'reload' ? 'atLeastOnce' : 'atMostOnce'
        this.#affect(control.taskId, control.action, { ...control, delivery })
      }
      const outcome =
        failure === undefined
          ? { state: 'applied' as const }
          : { state: 'failed' as const, ...(refusal ?? failure) }
      this.#scheduler.after(this.#scheduler.between(0, 5), () => {
        if (this.life !== life) return
        this.#keep({ type: 'outcome', controlId: control.controlId, outcome }, () => {
          done()
          this.sync()
        })
      })
    })
  }

  #refusal(control: IssuedControl): { code: string; message: string } | undefined {
    const world = this.world.get(control.taskId)
    if (!this.#ledger.state.tasks.has(control.taskId)) return { code: 'task_unknown', message: '' }
    if (world === 'completed') return { code: 'already_finished', message: '' }
    if (world === 'cancelled')
      return control.action === 'cancel' ? undefined : { code: 'task_cancelled', message: '' }
    return undefined
  }

  #affect(taskId: string, action: string, effect: Omit<Effect, 'atMs' | 'life'>): void {
    const { lane, delivery, controlId, epoch, revision } = effect
    this.effects.push({
      atMs: this.#scheduler.nowMs,
      life: this.life,
      taskId,
      lane,
      action,
      delivery,
      epoch,
      revision,
      ...(controlId === undefined ? {} : { controlId }),
    })
    if (action === 'pause') this.world.set(taskId, 'paused')
    if (action === 'resume') this.world.set(taskId, 'running')
    if (action === 'cancel') this.#end(taskId, 'cancelled')
  }

  #end(taskId: string, status: 'completed' | 'cancelled'): void {
    this.world.set(taskId, status)
    this.#keep({ type: 'end', taskId, end: { status }, wallMs: this.#scheduler.nowMs }, () => this.sync())
  }

  #isOver(taskId: string): boolean {
    const world = this.world.get(taskId)
    return world === 'completed' || world === 'cancelled'
  }

  /** Writes one record to the disk; `done` runs when it is there, unless the agent dies first. */
  #keep(record: LedgerRecord, done: () => void): void {
    const life = this.life
    this.#scheduler.after(this.#lag(), () => {
      if (this.life !== life) return
      const forget = this.#ledger.forgetRecord()
      for (const written of forget === undefined ? [record] : [forget, record]) {
        this.#disk.push(written)
        // Dying between the disk and the next step is the crash that matters most.
        this.#ledger.record(written)
      }
      done()
    })
  }

  /** Records reach the disk in order, so all take the same time. */
  #lag(): number {
    return 4
  }

  #taskReport(taskId: string, end: string | undefined): TaskReport {
    return { taskId, status: end ?? this.world.get(taskId) ?? 'queued', progress: 0, updatedAt: 0 }
  }

  #request(report: LedgerReport, tasks: readonly TaskReport[], counter: number): SyncRequest {
    return {
      agentId: this.#agentId,
      tasks,
      freeSlots: 4,
      boot: { bootNonce: `boot-${this.life}`, connectCounter: counter },
      ...report,
    }
  }
}
