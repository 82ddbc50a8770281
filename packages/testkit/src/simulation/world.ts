/** One simulated world: an operator, a hub and an agent in bad weather, then calm, then the checker. */
import { findControl, type Mailbox } from '@downlink/hub/internal'
import type { ControlState } from '@downlink/protocol'
import { divergence, violations, type AcceptedControl } from './checker.ts'
import { Scheduler } from './scheduler.ts'
import { SimAgent } from './sim-agent.ts'
import { SimHub, type Mutant } from './sim-hub.ts'
import { Storm } from './storm.ts'

const AGENT_ID = 'agent-1'
const STORM_MS = 6_000
const CALM_MS = 60_000
const TASKS = ['t1', 't2', 't3']
/** More than one sync reply brings: in these worlds tasks come in several. */
const MANY_TASKS = Array.from({ length: 10 }, (_, index) => `t${index + 1}`)
const ACTIONS = ['pause', 'resume', 'pause', 'resume', 'cancel', 'bump', 'bump', 'reload']

/** What a run found, with figures that show that the run did something. */
export interface RunResult {
  readonly seed: number
  readonly violations: readonly string[]
  readonly accepted: number
  readonly effects: number
  readonly crashes: number
}

/** Runs the world of one seed. */
export function runWorld(seed: number, mutant: Mutant = 'none'): RunResult {
  const world = new World(seed, mutant)
  return world.run()
}

class World {
  readonly #seed: number
  readonly #scheduler: Scheduler
  readonly #hub: SimHub
  readonly #agent: SimAgent
  readonly #storm: Storm
  readonly #taskIds: readonly string[]
  readonly #accepted = new Map<string, { taskId: string; action: string }>()
  /** Everything that the hub ever said of a settled control; operators read it before it leaves the mailbox. */
  readonly #finals = new Map<string, { outcome: ControlState; mayHaveApplied: boolean }>()
  readonly #faults: string[] = []
  #memoryLost = false
  #historyLost = false
  #requests = 0

  constructor(seed: number, mutant: Mutant) {
    this.#seed = seed
    this.#taskIds = seed % 7 === 3 ? MANY_TASKS : TASKS
    this.#scheduler = new Scheduler(seed)
    this.#hub = new SimHub(this.#scheduler, AGENT_ID, mutant)
    this.#agent = new SimAgent(this.#scheduler, AGENT_ID, mutant)
    this.#storm = new Storm(this.#scheduler, this.#hub, {
      loss: this.#scheduler.random() * 0.3,
      double: this.#scheduler.random() * 0.3,
      delayMsMax: this.#scheduler.between(5, 120),
    })
    this.#connect()
  }

  run(): RunResult {
    const scheduler = this.#scheduler
    const storm = this.#storm
    const someTask = (): string => scheduler.pick(this.#taskIds)
    for (const taskId of this.#taskIds) this.#createTask(taskId)
    storm.everyNowAndThen(40, 160, () => this.#agent.sync())
    storm.everyNowAndThen(200, 600, () => this.#hub.up && this.#hub.expire())
    storm.whileStormy(30, 250, () => this.#control())
    storm.whileStormy(200, 1_500, () => {
      this.#agent.decideLocally(someTask(), scheduler.pick(['pause', 'resume', 'pause', 'resume', 'cancel']))
    })
    storm.whileStormy(600, 4_000, () => this.#agent.complete(someTask()))
    storm.whileStormy(100, 1_500, () => this.#crashAgent())
    storm.whileStormy(50, 1_000, () => this.#agent.compact())
    storm.whileStormy(100, 1_500, () => this.#crashHub())
    storm.whileStormy(500, 2_000, () => this.#hub.backUp())
    storm.whileStormy(300, 2_000, () => this.#agent.copyJournal())
    scheduler.run(STORM_MS)
    storm.calmDown()
    const settled = scheduler.run(STORM_MS + CALM_MS, () => this.#isSettled())
    if (!settled)
      this.#faults.push('unsettled: something was still open or unreported at the end of the calm')
    return {
      seed: this.#seed,
      violations: [...this.#faults, ...this.#check()],
      accepted: this.#accepted.size,
      effects: this.#agent.effects.length,
      crashes: storm.crashes,
    }
  }

  #connect(): void {
    const { agent, hub } = { agent: this.#agent, hub: this.#hub }
    const agentLife = (): number => agent.life
    const hubLife = (): number => hub.life
    hub.stream = () => (agent.up ? agent.stream : { journal: undefined })
    hub.push = (controls) =>
      this.#storm.channel.send(agentLife, () => agent.up && agent.receivePush(controls))
    agent.send = (request, reply) =>
      this.#storm.channel.send(hubLife, () => {
        if (!hub.up) return
        hub.sync(request, (answer) => this.#storm.channel.send(agentLife, () => agent.up && reply(answer)))
      })
    hub.onCommit = (mailbox) => this.#watch(mailbox)
  }

  /** Looks at every commit as an operator with the page open would. */
  #watch(mailbox: Mailbox): void {
    for (const entry of mailbox.settled) {
      this.#finals.set(entry.controlId, {
        outcome: entry.outcome,
        mayHaveApplied: entry.mayHaveApplied === true,
      })
    }
    for (const task of mailbox.tasks) {
      const real = this.#agent.world.get(task.taskId)
      if (task.state === 'cancelled' && real !== 'cancelled' && !this.#memoryLost) {
        this.#faults.push(`untrue: ${task.taskId} is shown as cancelled and is ${real}`)
      }
    }
  }

  #createTask(taskId: string): void {
    const idempotency = { key: `task-${taskId}`, bodyHash: taskId }
    this.#storm.persist((done) => {
      this.#hub.createTask({ taskId, kind: 'work', input: null, operator: 'op', idempotency }, done)
    })
  }

  #control(): void {
    const scheduler = this.#scheduler
    const number = ++this.#requests
    const action = scheduler.pick(ACTIONS)
    const taskId = scheduler.pick(this.#taskIds)
    const idempotency = { key: `key-${number}`, bodyHash: `${action} ${taskId}` }
    const ttl = scheduler.chance(0.2) ? { ttlMs: scheduler.between(50, 1_000) } : {}
    const policy =
      action === 'reload' ? { lanePolicy: 'latest' as const, delivery: 'atLeastOnce' as const } : {}
    let attempt = 0
    this.#storm.persist((done) => {
      const controlId = `${AGENT_ID}~${number}-${++attempt}`
      const control = {
        controlId,
        action,
        taskId,
        args: null,
        operator: 'op',
        idempotency,
        ...ttl,
        ...policy,
      }
      this.#hub.createControl(control, (result) => {
        done()
        if (result.kind !== 'refused') this.#accepted.set(result.controlId, { action, taskId })
      })
    })
  }

  #crashAgent(): void {
    if (!this.#agent.up) return
    this.#storm.crashes++
    const loseJournal = this.#seed % 5 === 4 && this.#scheduler.chance(0.3)
    this.#memoryLost ||= loseJournal
    this.#agent.crash({ loseJournal })
    if (this.#seed % 5 === 2 && this.#scheduler.chance(0.3)) {
      this.#memoryLost = this.#agent.restoreJournal(this.#hub.committed) || this.#memoryLost
    }
    this.#scheduler.after(this.#scheduler.between(10, 300), () => this.#agent.start())
  }

  #crashHub(): void {
    const restoreBackup = this.#seed % 10 === 9 && this.#scheduler.chance(0.3)
    if (!this.#storm.crashHub({ restoreBackup })) return
    this.#historyLost ||= restoreBackup
    this.#memoryLost ||= restoreBackup
  }

  #isSettled(): boolean {
    return (
      this.#agent.up &&
      this.#hub.up &&
      this.#storm.awaiting === 0 &&
      this.#hub.committed.open.length === 0 &&
      this.#agent.isQuiet
    )
  }

  #check(): readonly string[] {
    const mailbox = this.#hub.committed
    const accepted = [...this.#accepted].map(([controlId, { taskId, action }]): AcceptedControl => {
      const entry = findControl(mailbox, controlId)
      const final = entry === undefined ? this.#finals.get(controlId) : undefined
      const now = entry && { outcome: entry.outcome, mayHaveApplied: entry.mayHaveApplied === true }
      return { controlId, taskId, action, final: now ?? final }
    })
    const evidence = {
      accepted,
      effects: this.#agent.effects,
      memoryLost: this.#memoryLost,
      historyLost: this.#historyLost,
    }
    return [
      ...violations(evidence),
      ...this.#taskIds.flatMap((taskId) =>
        divergence(taskId, this.#agent.world.get(taskId), this.#agent.intendedState(taskId)),
      ),
    ]
  }
}
