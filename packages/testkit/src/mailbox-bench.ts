/** A mailbox on a bench: the real life cycle, with time, writes and restarts in a test's hands. */
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
  type Decision,
  type Mailbox,
  type NewControl,
  type NewTaskRequest,
  type SyncAnswer,
  type WriteRecord,
} from '@downlink/hub/internal'
import {
  parseSyncRequest,
  type ControlState,
  type IssuedControl,
  type Json,
  type TaskReport,
  type TaskState,
} from '@downlink/protocol'

/** The agent whose mailbox stands on the bench. */
export const BENCH_AGENT = 'agent-1'

/** What a test gives to ask for a control; the rest has defaults. */
export type ControlWish = Partial<NewControl> & Pick<NewControl, 'controlId' | 'action'>

/** One mailbox, its hub's memory and its clocks. Replies are written at the moment they are decided. */
export class MailboxBench {
  mailbox: Mailbox = emptyMailbox(BENCH_AGENT)
  /** The newest boot has been silent for so long that an older one may take its place. */
  isNewestBootGone = false
  readonly history: Decision['history'][number][] = []
  wallMs = 1_767_225_600_000
  serviceMs = 10_000
  epoch = 1
  #life = 1
  #counter = 0
  #written = new Map<string, WriteRecord | undefined>()

  /** An operator asks for a control of task `t1`, unless the wish names another. */
  control(wish: ControlWish): CreateResult {
    const control = { taskId: 't1', args: null, operator: 'op', ...wish }
    const decision = createControl(this.mailbox, control, this.#time(), this.#written)
    this.#keep(decision)
    return decision.result
  }

  /** An operator asks for a task. */
  task(taskId: string, wish: Partial<NewTaskRequest> = {}): CreateTaskResult {
    const task = { taskId, kind: 'work', input: null, operator: 'op', ...wish }
    const decision = createTask(this.mailbox, task, this.#time(), this.#written)
    this.#keep(decision)
    return decision.result
  }

  /** One of our agents syncs; `body` is wire JSON beside the defaults. A clone's answer is undefined. */
  sync(body: Readonly<Record<string, Json>> = {}): SyncAnswer | undefined {
    const boot = { bootNonce: 'boot-1', connectCounter: ++this.#counter }
    return this.#sync({ journalId: 'journal-1', ...boot, ...body }, this.serviceMs)
  }

  /** As {@link MailboxBench.sync}, for a test that knows its agent to be no clone. */
  answer(body: Readonly<Record<string, Json>> = {}): SyncAnswer {
    const answer = this.sync(body)
    if (answer === undefined)
      throw new Error('The sync was taken for a clone. Give it the newest boot nonce.')
    return answer
  }

  /** An original syncs; it began `agoMs` before it is decided. */
  originalSync(tasks: Readonly<Record<string, string>> = {}, agoMs = 0, freeSlots = 0): SyncAnswer {
    const reports = Object.entries(tasks).map(([taskId, status]) => taskReport(taskId, status))
    const answer = this.#sync({ tasks: reports, freeSlots }, this.serviceMs - agoMs)
    if (answer === undefined) throw new Error('An original was taken for a clone; it sends no boot nonce.')
    return answer
  }

  /** A body of any shape from the wire, with nothing added but the agent's id. */
  rawSync(body: Readonly<Record<string, Json>>): SyncAnswer | undefined {
    return this.#sync(body, this.serviceMs)
  }

  /** What a stream that named `journal`, and a boot, is pushed; it counts as written. */
  push(journal?: string, bootNonce?: string): readonly string[] {
    const controls = controlsToPush(this.mailbox, this.serviceMs, { journal, bootNonce })
    this.#noteWritten(controls)
    return controls.map((control) => control.controlId)
  }

  expire(): void {
    this.#keep(expireControls(this.mailbox, this.#time(), this.#written))
  }

  pass(ms: number): void {
    this.wallMs += ms
    this.serviceMs += ms
  }

  /** The hub dies and starts again: its memory is gone, and the store has begun a higher epoch. */
  restart(): void {
    this.#life++
    this.epoch++
    this.#written = new Map()
  }

  /** The hub starts on an older copy of its database, and nobody raised the epoch. */
  restore(mailbox: Mailbox): void {
    this.#life++
    this.#written = new Map()
    this.mailbox = mailbox
  }

  entry(controlId: string): ControlEntry {
    const entry = findControl(this.mailbox, controlId)
    if (entry === undefined) throw new Error(`The mailbox does not have ${controlId}.`)
    return entry
  }

  outcome(controlId: string): ControlState {
    return this.entry(controlId).outcome
  }

  state(controlId: string): string {
    return this.outcome(controlId).state
  }

  taskState(taskId: string): TaskState | undefined {
    return this.mailbox.tasks.find((task) => task.taskId === taskId)?.state
  }

  #sync(body: Readonly<Record<string, Json>>, beganServiceMs: number): SyncAnswer | undefined {
    const request = parseSyncRequest({ agentId: BENCH_AGENT, tasks: [], freeSlots: 4, ...body })
    if (request === undefined) throw new Error('The body has no agentId. Leave that to the bench.')
    const time = { ...this.#time(), beganServiceMs, isNewestBootGone: this.isNewestBootGone }
    const decision = decideSync(this.mailbox, request, time, this.#written)
    if ('clone' in decision) return undefined
    this.#keep(decision)
    this.#noteWritten(decision.answer.controls)
    return decision.answer
  }

  #keep(decision: Decision): void {
    this.mailbox = decision.mailbox
    this.history.push(...decision.history)
  }

  #noteWritten(controls: readonly IssuedControl[]): void {
    for (const { controlId } of controls) {
      const first = this.#written.get(controlId)
      this.#written.set(controlId, {
        firstWallMs: first?.firstWallMs ?? this.wallMs,
        firstServiceMs: first?.firstServiceMs ?? this.serviceMs,
        lastServiceMs: this.serviceMs,
      })
    }
  }

  #time(): { wallMs: number; serviceMs: number; epoch: number; hubBoot: string } {
    const { wallMs, serviceMs, epoch } = this
    return { wallMs, serviceMs, epoch, hubBoot: `hub-${this.#life}` }
  }
}

/** A task as an agent lists it, as wire JSON. */
export function taskReport(taskId: string, status: string): Readonly<Record<string, Json>> {
  return { taskId, status, progress: 0, updatedAt: 0 } satisfies TaskReport & Record<string, Json>
}

/** The ids of an answer's controls. */
export function controlIds(answer: SyncAnswer): readonly string[] {
  return answer.controls.map((control) => control.controlId)
}

/** The ids of an answer's new tasks. */
export function newTaskIds(answer: SyncAnswer): readonly string[] {
  return answer.newTasks.map((task) => task.id)
}
