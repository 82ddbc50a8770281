/** Carries out decisions about mailboxes: reads the time, commits, and only then tells anybody. */
import {
  limits,
  type Clock,
  type ControlRecord,
  type ControlRequest,
  type SyncRequest,
  type TaskRecord,
  type TaskRequest,
} from '@downlink/protocol'
import { traceControl } from '../control-trace.ts'
import { HubError } from '../hub-error.ts'
import type { Store } from '../store/store.ts'
import {
  forgetWrites,
  ownWrites,
  rememberSync,
  type AgentMemories,
  type AgentMemory,
} from './agent-memory.ts'
import {
  checkControlRequest,
  checkTaskRequest,
  controlRefusal,
  idempotencyOf,
  mintControlId,
  mintTaskId,
  taskRefusal,
  type Asker,
} from './control-request.ts'
import type { ControlCounts } from './control-counts.ts'
import type { Decision, DecisionTime } from './draft.ts'
import { decideLocally, type LocalDecision } from './lifecycle-local.ts'
import { closeControls } from './lifecycle-revoked.ts'
import { decideSync, type SyncAnswer } from './lifecycle-sync.ts'
import { createControl, createTask, expireControls } from './lifecycle.ts'
import type { MailboxChanges } from './mailbox-changes.ts'
import { emptyMailbox, type Mailbox } from './mailbox.ts'
import { notOvertaken, tasksNotOvertaken } from './not-overtaken.ts'
import { controlIn, readControl } from './read-control.ts'
import { fitAnswer, type FittedAnswer } from './sync-reply.ts'
import { taskRecords } from './task-records.ts'

/** What a service needs. */
export interface ControlServiceOptions {
  readonly store: Store
  readonly clock: Clock
  /** Names this life of the hub. */
  readonly hubBoot: string
  readonly memories: AgentMemories
  readonly changes: MailboxChanges
  /** @defaultValue of nobody */
  readonly counts?: ControlCounts
}

/** Something made, or found to have been made before by the same request. */
export interface Made<T> {
  readonly record: T
  readonly isReplay: boolean
}

/** The answer to a sync, once it is committed. */
export interface SyncedAnswer extends FittedAnswer {
  /** The version of the mailbox that it shows in full. */
  readonly version: number
}

/**
 * The controls and tasks of all agents.
 *
 * Every promise resolves only when what it says is durable; every method throws `StoreError` if the store fails.
 */
export interface ControlService {
  /** @throws HubError for a request that is invalid or refused. */
  createControl(agentId: string, request: ControlRequest, asker: Asker): Promise<Made<ControlRecord>>
  /** @throws HubError for a request that is invalid or refused. */
  createTask(agentId: string, request: TaskRequest, asker: Asker): Promise<Made<TaskRecord>>
  /** @param beganServiceMs - when the request arrived: only what was written before can show in it. */
  sync(agentId: string, request: SyncRequest, beganServiceMs: number): Promise<SyncedAnswer | 'clone'>
  /** Settles what has outlived its time to live. */
  expire(agentId: string): Promise<void>
  /** Settles everything that is open: the agent was revoked. */
  closeControls(agentId: string): Promise<void>
  /** Takes in that an original's own user decided about a task: closes what that overruled, and keeps it for the record. */
  recordLocalDecision(agentId: string, decision: LocalDecision): Promise<void>
  /** The committed mailbox; empty if nothing ever happened. */
  mailbox(agentId: string): Promise<Mailbox>
  /** The control, from the mailbox or, once it has left that, from history. */
  control(controlId: string): Promise<ControlRecord | undefined>
  /** Notes that the agent's socket took the bytes of these controls. */
  recordWritten(agentId: string, controlIds: readonly string[]): void
  /** Notes, before anything is sent, that the agent may see these controls from now on. */
  recordSending(agentId: string, controlIds: readonly string[]): void
}

/** Makes the service; starts nothing. */
export function createControlService(options: ControlServiceOptions): ControlService {
  return new StoredControlService(options)
}

interface Committed<R> {
  readonly result: R
  readonly mailbox: Mailbox
  readonly isChanged: boolean
  readonly history: Decision['history']
}

class StoredControlService implements ControlService {
  readonly #options: ControlServiceOptions
  readonly #beganMs: number

  constructor(options: ControlServiceOptions) {
    this.#options = options
    this.#beganMs = options.clock.monotonicMs()
  }

  async createControl(agentId: string, request: ControlRequest, asker: Asker): Promise<Made<ControlRecord>> {
    checkControlRequest(request)
    const idempotency = idempotencyOf('control', request, asker.idempotencyKey)
    const { action, taskId, ttlMs, lane, delivery } = request
    // Minted before the first attempt, so that one's own id after a lost answer means success.
    const controlId = mintControlId(agentId, this.#options.clock.wallMs())
    const control = {
      controlId,
      action,
      taskId,
      args: request.args ?? null,
      operator: asker.operator,
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(lane === undefined ? {} : { lanePolicy: lane }),
      ...(delivery === undefined ? {} : { delivery }),
      ...idempotency,
    }
    traceControl('accepted', controlId)
    const { result, mailbox } = await this.#change(agentId, (before, time) =>
      createControl(before, control, time, this.#writes(agentId)),
    )
    if (result.kind === 'refused') throw controlRefusal(request, result)
    traceControl('committed', result.controlId)
    const { controlId: madeId } = result
    const record = controlIn(mailbox, this.#options.memories, madeId) ?? (await this.control(madeId))
    if (record === undefined) {
      throw new HubError('control_not_found', `Control ${result.controlId} is no longer on record.`)
    }
    return { record, isReplay: result.kind === 'replayed' }
  }

  async createTask(agentId: string, request: TaskRequest, asker: Asker): Promise<Made<TaskRecord>> {
    checkTaskRequest(request)
    const idempotency = idempotencyOf('task', request, asker.idempotencyKey)
    const taskId = request.taskId ?? mintTaskId(request.kind)
    const task = {
      taskId,
      kind: request.kind,
      input: request.input ?? null,
      operator: asker.operator,
      ...idempotency,
    }
    const { result, mailbox } = await this.#change(agentId, (before, time) =>
      createTask(before, task, time, this.#writes(agentId)),
    )
    if (result.kind === 'refused') throw taskRefusal(taskId, result)
    const record = taskRecords(mailbox, this.#options.memories.peek(agentId)).find(
      (other) => other.taskId === result.taskId,
    )
    if (record === undefined) {
      throw new HubError('task_not_found', `Task ${result.taskId} ended and is no longer on record.`)
    }
    return { record, isReplay: result.kind === 'replayed' }
  }

  async sync(agentId: string, request: SyncRequest, beganServiceMs: number): Promise<SyncedAnswer | 'clone'> {
    const memory = this.#options.memories.of(agentId)
    const { result, mailbox, isChanged } = await this.#change<SyncAnswer | 'clone'>(
      agentId,
      (before, time) => {
        const syncTime = { ...time, beganServiceMs, isNewestBootGone: this.#isNewestBootGone(memory) }
        const decision = decideSync(before, request, syncTime, memory.writes)
        if ('clone' in decision) return { ...decision, result: 'clone' }
        // A sync that changes nothing is answered from committed state, while a newer decision may be on its way to
        // the disk that took these controls for never written: what that has settled stays here.
        const controls = notOvertaken(decision.answer.controls, decision.mailbox, memory.decided)
        this.recordSending(
          agentId,
          controls.map((control) => control.controlId),
        )
        // One of ours learns of a task's controls before it starts the task; an original would start it.
        const { answer } = decision
        const newTasks =
          request.journalId === undefined
            ? tasksNotOvertaken(answer.newTasks, controls, decision.mailbox, memory.decided)
            : answer.newTasks
        return { ...decision, result: { ...answer, controls, newTasks } }
      },
      // Published below, once it is known what the reply carries.
      false,
    )
    if (result === 'clone') {
      memory.clonedAtMonotonicMs = this.#options.clock.monotonicMs()
      return 'clone'
    }
    if (request.boot !== undefined) memory.newestBootSeenMs = this.#options.clock.monotonicMs()
    rememberSync(memory, request, this.#options.clock.wallMs())
    const fitted = fitAnswer(result, request.journalId !== undefined)
    const newest = memory.decided
    if (isChanged) {
      this.#options.changes.publish({
        agentId,
        mailbox,
        isOfSync: true,
        repliedControlIds: new Set(fitted.controls.map((control) => control.controlId)),
        repliedTaskIds: new Set(fitted.newTasks.map((task) => task.id)),
      })
    }
    const isCut = fitted.isCut || (newest !== undefined && newest.version > mailbox.version)
    // What was left out counts as not shown, so that a `wake` brings the agent back for it.
    return { ...fitted, isCut, version: fitted.isCut ? mailbox.version - 1 : mailbox.version }
  }

  async expire(agentId: string): Promise<void> {
    await this.#change(agentId, (mailbox, time) => ({
      ...expireControls(mailbox, time, this.#writes(agentId)),
      result: undefined,
    }))
  }

  async closeControls(agentId: string): Promise<void> {
    await this.#change(agentId, (mailbox, time) => ({
      ...closeControls(mailbox, time, this.#writes(agentId)),
      result: undefined,
    }))
  }

  async recordLocalDecision(agentId: string, decision: LocalDecision): Promise<void> {
    await this.#change(agentId, (mailbox, time) => ({
      ...decideLocally(mailbox, decision, time, this.#writes(agentId)),
      result: undefined,
    }))
  }

  async mailbox(agentId: string): Promise<Mailbox> {
    return (await this.#options.store.read<Mailbox>('mailboxes', agentId)) ?? emptyMailbox(agentId)
  }

  control(controlId: string): Promise<ControlRecord | undefined> {
    return readControl(this.#options.store, this.#options.memories, controlId)
  }

  recordSending(agentId: string, controlIds: readonly string[]): void {
    if (controlIds.length === 0) return
    const writes = ownWrites(this.#options.memories.of(agentId))
    for (const controlId of controlIds) if (!writes.has(controlId)) writes.set(controlId, undefined)
  }

  recordWritten(agentId: string, controlIds: readonly string[]): void {
    const { store, clock, memories } = this.#options
    const writes = ownWrites(memories.of(agentId))
    const serviceMs = store.serviceMs()
    for (const controlId of controlIds) {
      const first = writes.get(controlId) ?? { firstWallMs: clock.wallMs(), firstServiceMs: serviceMs }
      writes.set(controlId, { ...first, lastServiceMs: serviceMs })
      traceControl('written', controlId)
    }
  }

  #isNewestBootGone({ newestBootSeenMs = this.#beganMs }: AgentMemory): boolean {
    return this.#options.clock.monotonicMs() - newestBootSeenMs > limits.BOOT_GONE_MS
  }

  #writes(agentId: string): ReturnType<AgentMemories['of']>['writes'] {
    return this.#options.memories.of(agentId).writes
  }

  async #change<R>(
    agentId: string,
    decide: (mailbox: Mailbox, time: DecisionTime) => Decision & { readonly result: R },
    isPublished = true,
  ): Promise<Committed<R>> {
    const { store, clock, hubBoot, memories, changes } = this.#options
    const memory = memories.of(agentId)
    const time = { wallMs: clock.wallMs(), serviceMs: store.serviceMs(), epoch: store.epoch, hubBoot }
    const work = store.update<Mailbox, Committed<R>>('mailboxes', agentId, (document) => {
      const before = document ?? emptyMailbox(agentId)
      const { mailbox, history, result } = decide(before, time)
      const isChanged = mailbox !== before
      // Whoever acts on an older commit from now on must not contradict this decision. The store tries a change on what
      // is committed first: that result is no newer than what is staged, and does not hold.
      if (isChanged && mailbox.version > (memory.decided?.version ?? 0)) memory.decided = mailbox
      const committed = { result, mailbox, isChanged, history }
      return isChanged ? { document: mailbox, history, result: committed } : { result: committed }
    })
    memory.changing++
    let mailbox: Mailbox | undefined
    try {
      const committed = await work
      this.#options.counts?.committed(committed.history)
      if (committed.isChanged && committed.mailbox.version >= memory.committedVersion) {
        mailbox = committed.mailbox
        memory.committedVersion = mailbox.version
      }
      if (committed.isChanged && isPublished) {
        changes.publish({ agentId, mailbox: committed.mailbox, ...NOTHING_REPLIED })
      }
      return committed
    } catch (error) {
      await this.#publishCommitted(agentId)
      throw error
    } finally {
      memory.changing--
      if (memory.changing === 0) {
        memory.decided = undefined
        if (mailbox !== undefined) forgetWrites(memory, mailbox)
      }
    }
  }

  /** A push may have been left out because of a decision that is now void: tell of what holds instead. */
  async #publishCommitted(agentId: string): Promise<void> {
    const { store, changes, memories } = this.#options
    memories.of(agentId).decided = undefined
    const mailbox = await store.read<Mailbox>('mailboxes', agentId).catch(() => undefined)
    if (mailbox !== undefined) changes.publish({ agentId, mailbox, ...NOTHING_REPLIED })
  }
}

const NOTHING_REPLIED = { repliedControlIds: new Set<string>(), repliedTaskIds: new Set<string>() }
