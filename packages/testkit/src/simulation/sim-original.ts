/** An original agent in a simulation: no ids, no acknowledgements, no memory of what it was told; only what the wire facts say. */
import type { SyncAnswer } from '@downlink/hub/internal'
import { isStateVerb, type IssuedControl, type StateVerb, type SyncRequest } from '@downlink/protocol'
import type { Scheduler } from './scheduler.ts'

/** What a task of an original really does. */
export type OriginalState = 'running' | 'paused' | 'cancelled' | 'completed'

/** One thing that happened on an original; the log survives every crash, as the world does. */
export interface OriginalEffect {
  readonly atMs: number
  readonly taskId: string
  /** A verb, or `start`: the task came in `newTasks`. */
  readonly what: string
  /** What the task did before; undefined if the agent did not know it. */
  readonly from: OriginalState | undefined
  /** Whose message it was. The agent itself reads no ids; only the checker does. */
  readonly controlId?: string
}

/** How long it waits for a reply, virtual ms. */
const GIVE_UP_MS = 400
const FREE_SLOTS = 12

/** One original. Its tasks survive a crash, what it was about to say does not. */
export class SimOriginal {
  life = 0
  up = true
  readonly effects: OriginalEffect[] = []
  /** Ids of all controls that any message brought to it. */
  readonly seen: Set<string> = new Set()
  readonly world: Map<string, OriginalState> = new Map()
  /** Tasks that were ever cancelled, by whomever. */
  readonly cancelled: Set<string> = new Set()
  /** When each task last began to run. */
  readonly startedMs: Map<string, number> = new Map()
  /** When each task last ceased to run. */
  readonly stoppedMs: Map<string, number> = new Map()
  send: (request: SyncRequest, reply: (answer: SyncAnswer) => void) => void = () => undefined
  readonly #scheduler: Scheduler
  readonly #agentId: string
  /** What the next sync says of a task that is over or stands still: once, then it is absent. */
  readonly #farewells = new Map<string, '' | 'completed'>()
  #syncing = false
  #syncOwed = false
  #syncs = 0
  /** It has just started and lists nothing until its tasks are loaded: one absence proves nothing. */
  #isLoading = false
  /** A sync that listed everything was answered since it last listed nothing. */
  #hasListed = false

  constructor(scheduler: Scheduler, agentId: string) {
    this.#scheduler = scheduler
    this.#agentId = agentId
  }

  crash(): void {
    this.life++
    this.up = false
    this.#syncing = false
    this.#syncOwed = false
    this.#farewells.clear()
  }

  start(): void {
    this.life++
    this.up = true
    // Never twice in a row: against an agent that keeps forgetting what it does no rule about absence helps.
    this.#isLoading ||= this.#hasListed && this.#scheduler.chance(0.5)
  }

  /** A task of its own, that no hub has made. */
  startOwn(taskId: string): void {
    this.#become(taskId, 'running')
  }

  receivePush(controls: readonly IssuedControl[]): void {
    for (const control of controls) this.#apply(control)
  }

  /** Single flight; a nudge meanwhile causes another. */
  sync(): void {
    if (!this.up) return
    if (this.#syncing) {
      this.#syncOwed = true
      return
    }
    this.#syncing = true
    const number = ++this.#syncs
    const { life } = this
    const isBlind = this.#isLoading
    const finish = (): void => {
      if (this.life !== life || number !== this.#syncs || !this.#syncing) return
      this.#syncing = false
      if (!this.#syncOwed) return
      this.#syncOwed = false
      this.sync()
    }
    this.#scheduler.after(GIVE_UP_MS, finish)
    this.send(this.#request(), (answer) => {
      if (this.life !== life || number !== this.#syncs || !this.#syncing) return
      this.#hasListed = !isBlind
      for (const control of answer.controls) this.#apply(control)
      for (const task of answer.newTasks) this.#take(task.id)
      finish()
    })
  }

  /** Its user presses a button; the hub is not told. */
  decideLocally(taskId: string, action: StateVerb): void {
    if (this.up) this.#carryOut(taskId, action)
  }

  complete(taskId: string): void {
    if (!this.up || this.world.get(taskId) !== 'running') return
    this.#become(taskId, 'completed')
    this.#farewells.set(taskId, 'completed')
  }

  #apply(control: IssuedControl): void {
    const { action, taskId, controlId } = control
    this.seen.add(controlId)
    if (action === 'resume') return this.sync()
    const from = this.world.get(taskId)
    if (isStateVerb(action)) this.#carryOut(taskId, action)
    this.#note({ taskId, what: action, from, controlId })
  }

  #carryOut(taskId: string, action: StateVerb): void {
    const from = this.world.get(taskId)
    const isAlive = from === 'running' || from === 'paused'
    if (action === 'resume' && from === 'paused') this.#become(taskId, 'running')
    if (action === 'pause' && from === 'running') this.#become(taskId, 'paused')
    if (action === 'cancel' && isAlive) this.#become(taskId, 'cancelled')
    if (action !== 'resume' && from === 'running') this.#farewells.set(taskId, '')
  }

  #take(taskId: string): void {
    const from = this.world.get(taskId)
    if (from === 'running') return
    this.#become(taskId, 'running')
    this.#note({ taskId, what: 'start', from })
  }

  #become(taskId: string, state: OriginalState): void {
    const moments = state === 'running' ? this.startedMs : this.stoppedMs
    if (state === 'running' || this.world.get(taskId) === 'running') {
      moments.set(taskId, this.#scheduler.nowMs)
    }
    this.world.set(taskId, state)
    if (state === 'cancelled') this.cancelled.add(taskId)
    this.#farewells.delete(taskId)
  }

  #note(effect: Omit<OriginalEffect, 'atMs'>): void {
    this.effects.push({ atMs: this.#scheduler.nowMs, ...effect })
  }

  #request(): SyncRequest {
    const listed = new Map<string, string>(this.#farewells)
    this.#farewells.clear()
    for (const [taskId, state] of this.world) if (state === 'running') listed.set(taskId, 'downloading')
    if (this.#isLoading) {
      listed.clear()
      this.#hasListed = false
    }
    this.#isLoading = false
    const tasks = [...listed].map(([taskId, status]) => ({ taskId, status, progress: 0, updatedAt: 0 }))
    return { agentId: this.#agentId, tasks, freeSlots: FREE_SLOTS, outcomes: [], received: [], decisions: [] }
  }
}
