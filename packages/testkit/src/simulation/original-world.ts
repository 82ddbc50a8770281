/** One simulated world with an original agent: an operator, a hub, and an agent that neither knows ids nor acknowledges. */
import { findControl } from '@downlink/hub/internal'
import { OriginalWatch } from './original-checker.ts'
import { Scheduler } from './scheduler.ts'
import { SimHub, type Mutant } from './sim-hub.ts'
import { SimOriginal } from './sim-original.ts'
import { Storm } from './storm.ts'
import type { RunResult } from './world.ts'

const AGENT_ID = 'original-1'
const STORM_MS = 20_000
const CALM_MS = 60_000
/** Long enough for the syncs that show what the last control did. */
const AFTER_MS = 3_000
const ACTIONS = ['pause', 'resume', 'pause', 'resume', 'cancel', 'bump', 'reload']
const OWN_TASKS = ['own-1', 'own-2']

/** Runs the world of one seed. */
export function runOriginalWorld(seed: number, mutant: Mutant = 'none'): RunResult {
  return new OriginalWorld(seed, mutant).run()
}

class OriginalWorld {
  readonly #seed: number
  readonly #scheduler: Scheduler
  readonly #hub: SimHub
  readonly #agent: SimOriginal
  readonly #watch: OriginalWatch
  readonly #storm: Storm
  readonly #hasMany: boolean
  readonly #hubTasks: readonly string[]
  /** Tasks that an operator knows: an earlier control would be about another task of the same name. */
  readonly #known = [...OWN_TASKS]
  readonly #accepted = new Map<string, { taskId: string; action: string }>()
  #requests = 0

  constructor(seed: number, mutant: Mutant) {
    this.#seed = seed
    this.#scheduler = new Scheduler(seed)
    // In some worlds, and nearly at once, more than one reply brings.
    this.#hasMany = seed % 3 === 2
    this.#hubTasks = Array.from({ length: this.#hasMany ? 10 : 3 }, (_, index) => `t${index + 1}`)
    this.#hub = new SimHub(this.#scheduler, AGENT_ID, mutant, true)
    this.#agent = new SimOriginal(this.#scheduler, AGENT_ID)
    this.#watch = new OriginalWatch(this.#agent, () => this.#scheduler.nowMs)
    this.#storm = new Storm(this.#scheduler, this.#hub, {
      loss: this.#scheduler.random() * 0.3,
      // One connection carries one request; a late copy of a sync is none of an original's habits.
      double: 0,
      delayMsMax: this.#scheduler.between(5, 120),
    })
    this.#connect()
  }

  run(): RunResult {
    const scheduler = this.#scheduler
    const storm = this.#storm
    const someTask = (): string => scheduler.pick(this.#known)
    for (const taskId of OWN_TASKS) this.#agent.startOwn(taskId)
    for (const taskId of this.#hubTasks) {
      const withinMs = this.#hasMany ? 300 : STORM_MS / 2
      scheduler.after(scheduler.between(0, withinMs), () => this.#createTask(taskId))
    }
    storm.everyNowAndThen(200, 900, () => this.#agent.sync())
    storm.everyNowAndThen(200, 600, () => this.#hub.up && this.#hub.expire())
    storm.whileStormy(50, 900, () => this.#control(someTask()))
    storm.whileStormy(1_000, 6_000, () => {
      this.#agent.decideLocally(someTask(), scheduler.pick(['pause', 'resume', 'resume', 'cancel']))
    })
    storm.whileStormy(2_000, 8_000, () => this.#agent.complete(someTask()))
    storm.whileStormy(500, 5_000, () => this.#crashAgent())
    storm.whileStormy(500, 5_000, () => storm.crashHub({ restoreBackup: false }))
    scheduler.run(STORM_MS)
    storm.calmDown()
    const isSettled = scheduler.run(STORM_MS + CALM_MS, () => this.#isSettled())
    if (!isSettled) this.#watch.faults.push('unsettled: something was still open at the end of the calm')
    scheduler.run(scheduler.nowMs + AFTER_MS)
    return {
      seed: this.#seed,
      violations: this.#check(),
      accepted: this.#accepted.size,
      effects: this.#agent.effects.length,
      crashes: storm.crashes,
    }
  }

  #connect(): void {
    const { agent, hub, channel } = { agent: this.#agent, hub: this.#hub, channel: this.#storm.channel }
    const agentLife = (): number => agent.life
    hub.push = (controls) => channel.send(agentLife, () => agent.up && agent.receivePush(controls))
    hub.nudge = () => channel.send(agentLife, () => agent.sync())
    agent.send = (request, reply) => {
      const { life } = agent
      channel.send(
        () => hub.life,
        () => {
          if (!hub.up) return
          hub.sync(request, (answer) => {
            this.#watch.seeReply(answer.controls, `${hub.life}.${life}`)
            channel.send(agentLife, () => agent.up && reply(answer))
          })
        },
      )
    }
    hub.onCommit = (mailbox) => this.#watch.seeCommit(mailbox)
    hub.onOffer = (offer) => this.#watch.seeOffer(offer)
  }

  #createTask(taskId: string): void {
    const idempotency = { key: `task-${taskId}`, bodyHash: taskId }
    this.#storm.persist((done) => {
      this.#hub.createTask({ taskId, kind: 'work', input: null, operator: 'op', idempotency }, (result) => {
        done()
        if (result.kind === 'created') this.#known.push(taskId)
      })
    })
  }

  #control(taskId: string): void {
    const scheduler = this.#scheduler
    const number = ++this.#requests
    const action = scheduler.pick(ACTIONS)
    const idempotency = { key: `key-${number}`, bodyHash: `${action} ${taskId}` }
    const ttl = scheduler.chance(0.1) ? { ttlMs: scheduler.between(50, 5_000) } : {}
    const policy = action === 'reload' ? { lanePolicy: 'latest' as const } : {}
    let attempt = 0
    this.#storm.persist((done) => {
      const controlId = `${AGENT_ID}~${number}-${++attempt}`
      const request = { controlId, action, taskId, args: null, operator: 'op', idempotency }
      this.#hub.createControl({ ...request, ...ttl, ...policy }, (result) => {
        done()
        if (result.kind !== 'refused') this.#accepted.set(result.controlId, { action, taskId })
      })
    })
  }

  #crashAgent(): void {
    if (!this.#agent.up) return
    this.#storm.crashes++
    this.#agent.crash()
    this.#scheduler.after(this.#scheduler.between(10, 300), () => this.#agent.start())
  }

  #isSettled(): boolean {
    const { up, committed } = this.#hub
    return this.#agent.up && up && this.#storm.awaiting === 0 && committed.open.length === 0
  }

  #check(): readonly string[] {
    const mailbox = this.#hub.committed
    const accepted = [...this.#accepted].map(([controlId, control]) => {
      const final = findControl(mailbox, controlId) ?? this.#watch.finals.get(controlId)
      return { controlId, ...control, final }
    })
    return this.#watch.finish(accepted, mailbox)
  }
}
