/** One simulated world: an operator, a hub and an agent in bad weather, then calm, then the checker. */
import { findControl, type Mailbox } from '@downlink/hub/internal'
import type { ControlState } from '@downlink/protocol'
import { Channel, type Weather } from './channel.ts'
import { divergence, violations, type AcceptedControl } from './checker.ts'
import { Scheduler } from './scheduler.ts'
import { SimAgent } from './sim-agent.ts'
import { SimHub, type Mutant } from './sim-hub.ts'

const AGENT_ID = 'agent-1'
const STORM_MS = 6_000
const CALM_MS = 60_000
const TASKS = ['t1', 't2', 't3']
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
  readonly #weather: Weather
  readonly #channel: Channel
  readonly #accepted = new Map<string, { taskId: string; action: string }>()
  /** Everything that the hub ever said of a settled control; operators read it before it leaves the mailbox. */
  readonly #finals = new Map<string, { outcome: ControlState; mayHaveApplied: boolean }>()
  readonly #faults: string[] = []
  #stormy = true
  #crashes = 0
  #memoryLost = false
  #historyLost = false
  #requests = 0
  #awaiting = 0

  constructor(seed: number, mutant: Mutant) {
    this.#seed = seed
    this.#scheduler = new Scheduler(seed)
    this.#hub = new SimHub(this.#scheduler, AGENT_ID, mutant)
    this.#agent = new SimAgent(this.#scheduler, AGENT_ID, mutant)
    this.#weather = {
      loss: this.#scheduler.random() * 0.3,
      double: this.#scheduler.random() * 0.3,
      delayMsMax: this.#scheduler.between(5, 120),
    }
    this.#channel = new Channel(this.#scheduler, this.#weather)
    this.#connect()
  }

  run(): RunResult {
    const scheduler = this.#scheduler
    for (const taskId of TASKS) this.#createTask(taskId)
    this.#everyNowAndThen(40, 160, () => this.#agent.sync())
    this.#everyNowAndThen(200, 600, () => this.#hub.up && this.#hub.expire())
    this.#whileStormy(30, 250, () => this.#control())
    this.#whileStormy(200, 1_500, () => {
      this.#agent.decideLocally(
        scheduler.pick(TASKS),
        scheduler.pick(['pause', 'resume', 'pause', 'resume', 'cancel']),
      )
    })
    this.#whileStormy(600, 4_000, () => this.#agent.complete(scheduler.pick(TASKS)))
    this.#whileStormy(100, 1_500, () => this.#crashAgent())
    this.#whileStormy(100, 1_500, () => this.#crashHub())
    this.#whileStormy(500, 2_000, () => this.#hub.backUp())
    scheduler.run(STORM_MS)
    this.#calmDown()
    const settled = scheduler.run(STORM_MS + CALM_MS, () => this.#isSettled())
    if (!settled)
      this.#faults.push('unsettled: something was still open or unreported at the end of the calm')
    return {
      seed: this.#seed,
      violations: [...this.#faults, ...this.#check()],
      accepted: this.#accepted.size,
      effects: this.#agent.effects.length,
      crashes: this.#crashes,
    }
  }

  #connect(): void {
    const { agent, hub } = { agent: this.#agent, hub: this.#hub }
    const agentLife = (): number => agent.life
    const hubLife = (): number => hub.life
    hub.streamJournalId = () => (agent.up ? agent.journalId : undefined)
    hub.push = (controls) => this.#channel.send(agentLife, () => agent.up && agent.receivePush(controls))
    agent.send = (request, reply) =>
      this.#channel.send(hubLife, () => {
        if (!hub.up) return
        hub.sync(request, (answer) => this.#channel.send(agentLife, () => agent.up && reply(answer)))
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
    this.#persist((done) => {
      this.#hub.createTask({ taskId, kind: 'work', input: null, operator: 'op', idempotency }, done)
    })
  }

  #control(): void {
    const scheduler = this.#scheduler
    const number = ++this.#requests
    const action = scheduler.pick(ACTIONS)
    const taskId = scheduler.pick(TASKS)
    const idempotency = { key: `key-${number}`, bodyHash: `${action} ${taskId}` }
    const ttl = scheduler.chance(0.2) ? { ttlMs: scheduler.between(50, 1_000) } : {}
    const policy =
      action === 'reload' ? { lanePolicy: 'latest' as const, delivery: 'atLeastOnce' as const } : {}
    let attempt = 0
    this.#persist((done) => {
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

  /** An operator's request, made again with the same key until an answer has come through. */
  #persist(request: (answered: () => void) => void): void {
    this.#awaiting++
    let answered = false
    const attempt = (): void => {
      if (answered) return
      this.#channel.send(
        () => this.#hub.life,
        () => {
          if (!this.#hub.up) return
          request(() => {
            if (!answered) this.#awaiting--
            answered = true
          })
        },
      )
      this.#scheduler.after(300, attempt)
    }
    attempt()
  }

  #crashAgent(): void {
    if (!this.#agent.up) return
    this.#crashes++
    const loseJournal = this.#seed % 5 === 4 && this.#scheduler.chance(0.3)
    this.#memoryLost ||= loseJournal
    this.#agent.crash({ loseJournal })
    this.#scheduler.after(this.#scheduler.between(10, 300), () => this.#agent.start())
  }

  #crashHub(): void {
    if (!this.#hub.up) return
    this.#crashes++
    const restoreBackup = this.#seed % 10 === 9 && this.#scheduler.chance(0.3)
    this.#historyLost ||= restoreBackup
    this.#memoryLost ||= restoreBackup
    this.#hub.crash()
    this.#scheduler.after(this.#scheduler.between(10, 300), () => this.#hub.start({ restoreBackup }))
  }

  #calmDown(): void {
    this.#stormy = false
    this.#weather.loss = 0
    this.#weather.double = 0
    this.#weather.delayMsMax = 5
  }

  #isSettled(): boolean {
    return (
      this.#agent.up &&
      this.#hub.up &&
      this.#awaiting === 0 &&
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
      ...TASKS.flatMap((taskId) =>
        divergence(taskId, this.#agent.world.get(taskId), this.#agent.intendedState(taskId)),
      ),
    ]
  }

  #everyNowAndThen(minMs: number, maxMs: number, action: () => void): void {
    this.#scheduler.after(this.#scheduler.between(minMs, maxMs), () => {
      action()
      this.#everyNowAndThen(minMs, maxMs, action)
    })
  }

  #whileStormy(minMs: number, maxMs: number, action: () => void): void {
    this.#scheduler.after(this.#scheduler.between(minMs, maxMs), () => {
      if (!this.#stormy) return
      action()
      this.#whileStormy(minMs, maxMs, action)
    })
  }
}
