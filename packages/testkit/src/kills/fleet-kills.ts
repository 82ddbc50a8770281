/** One seed: a fleet that stays up, operators who press buttons at a steady rate whatever happens, and a hub that is killed and started again on the same data, again and again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits, type AuditEntry, type ControlRecord, type Page } from '@downlink/protocol'
import { violations } from '../simulation/checker.ts'
import { seededRandom } from '../simulation/scheduler.ts'
import { auditViolations, numberOf } from './audit-checker.ts'
import { startChild, type Child } from './child.ts'
import { EFFECTS_FILE, effectsOf, localViolations, readEffects } from './effects.ts'
import { pressSteadily, type FleetPress } from './fleet-operators.ts'
import { ask, finalStates, issuedOf, type HubAddress, type Issued } from './operator.ts'
import { KILL_STEPS } from './run-kill.ts'

/** How a seed is run. */
export interface FleetPlan {
  readonly agents: number
  /** Controls a second. */
  readonly rate: number
  readonly kills: number
  /** One of `HUB_MUTANTS`, or `none`. */
  readonly mutant: string
}

/** What one seed found. */
export interface FleetResult {
  readonly seed: number
  /** How often the hub was killed at each step. */
  readonly killedAt: ReadonlyMap<string, number>
  readonly asked: number
  readonly accepted: number
  readonly effects: number
  readonly auditEntries: number
  readonly violations: readonly string[]
}

/** Kills on the same data. After more in a row agents wait so long before they try again that a seed takes minutes. */
export const FLEET_KILLS_MAX = 10

const OPERATORS = ['ada', 'bob', 'carl']
const VERB_TASKS = ['w1', 'w2']
const AGENT_PROCESSES = 2
const HEARTBEAT_MS = 1_000
/** The step that kills comes at most so many times before it does: within one and a half seconds at twenty controls a second. */
const COUNT_MAX = 30
/** Longest life of a hub that is to be killed, ms: agents come back within a window of two seconds, and more. */
const LIFE_MS_MAX = 30_000
/** Longest that controls may take to settle, ms: an agent that saw its hub die all the time tries again at last. */
const SETTLE_MS_MAX = limits.RECONNECT_MS_MAX + 30_000

const NOTHING_FOUND = { killedAt: new Map(), asked: 0, accepted: 0, effects: 0, auditEntries: 0 }

/** Runs one seed. */
export async function runFleetKills(seed: number, plan: FleetPlan): Promise<FleetResult> {
  const directory = await mkdtemp(join(tmpdir(), 'downlink-kills-'))
  const world = new FleetWorld(directory, seed, plan)
  try {
    return await world.run()
  } catch (error) {
    const violation = `error: ${error instanceof Error ? error.message : String(error)}`
    return { seed, ...NOTHING_FOUND, violations: [violation] }
  } finally {
    await world[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
}

class FleetWorld implements AsyncDisposable {
  readonly #directory: string
  readonly #seed: number
  readonly #plan: FleetPlan
  readonly #random: () => number
  readonly #hub: HubAddress = { url: '', token: '' }
  readonly #agentIds: readonly string[]
  readonly #children: Child[] = []
  readonly #killedAt = new Map<string, number>()
  readonly #faults: string[] = []

  constructor(directory: string, seed: number, plan: FleetPlan) {
    this.#directory = directory
    this.#seed = seed
    this.#plan = plan
    this.#random = seededRandom(seed)
    this.#agentIds = Array.from({ length: plan.agents }, (_, index) => `agent-${index + 1}`)
  }

  async run(): Promise<FleetResult> {
    let hub = await this.#startHub()
    const operators = await this.#operators()
    await this.#startAgents()
    const stop = new AbortController()
    const { rate } = this.#plan
    const who = { hub: this.#hub, operators, agentIds: this.#agentIds, verbTasks: VERB_TASKS }
    const pressed = pressSteadily(who, { rate, random: seededRandom(this.#seed + 1) }, stop.signal)
    // The first life is not killed at a step of its own: fleet and operators are to be at work by then.
    hub.kill()
    await hub.ended
    for (let kills = 0; kills < this.#plan.kills; kills++) {
      const step = KILL_STEPS.hub[kills % KILL_STEPS.hub.length] ?? ''
      hub = this.#hubChild(`${step}:${1 + Math.floor(this.#random() * COUNT_MAX)}`)
      await this.#isKilled(hub, step)
    }
    await this.#startHub()
    stop.abort()
    return this.#judge(await pressed)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.splice(0).map((child) => child[Symbol.asyncDispose]()))
  }

  #hubChild(kill?: string): Child {
    const port = this.#hub.url === '' ? '0' : new URL(this.#hub.url).port
    const args = ['--directory', this.#directory, '--port', port, '--mutant', this.#plan.mutant]
    args.push('--heartbeat', String(HEARTBEAT_MS))
    return this.#child('./hub-process.ts', kill === undefined ? args : [...args, '--kill', kill])
  }

  async #startHub(): Promise<Child> {
    const child = this.#hubChild()
    const { url, token } = await child.ready
    Object.assign(this.#hub, { url, token })
    return child
  }

  async #isKilled(hub: Child, step: string): Promise<void> {
    const timer = setTimeout(() => hub.kill(), LIFE_MS_MAX)
    const bornMs = Date.now()
    const how = await hub.ended
    clearTimeout(timer)
    if (how !== 'SIGKILL') throw new Error(`the hub ended by itself (${how}): ${hub.complaint()}`)
    if (Date.now() - bornMs >= LIFE_MS_MAX)
      this.#faults.push(`error: the hub never reached ${step} in a life`)
    else this.#killedAt.set(step, (this.#killedAt.get(step) ?? 0) + 1)
  }

  async #operators(): Promise<readonly (HubAddress & { readonly name: string })[]> {
    return Promise.all(
      OPERATORS.map(async (name) => {
        const body = { name, scopes: ['control'] }
        const { json } = await ask(this.#hub, 'POST', 'api/v1/operator-tokens', body)
        return { name, url: this.#hub.url, token: (json as { token: string }).token }
      }),
    )
  }

  async #startAgents(): Promise<void> {
    const { json } = await ask(this.#hub, 'POST', 'api/v1/enrollment-keys', { uses: this.#agentIds.length })
    const { key } = json as { key: string }
    const options = ['--directory', this.#directory, '--hub', this.#hub.url, '--key', key]
    const fleets = Array.from({ length: AGENT_PROCESSES }, (_, index) => {
      const ids = this.#agentIds.filter((__, at) => at % AGENT_PROCESSES === index)
      const seed = String(this.#seed * AGENT_PROCESSES + index)
      return this.#child('./fleet-process.ts', [...options, '--seed', seed, ...ids])
    })
    await Promise.all(fleets.map((fleet) => fleet.ready))
    const tasks = this.#agentIds.flatMap((agentId) => VERB_TASKS.map((taskId) => ({ agentId, taskId })))
    await Promise.all(
      tasks.map(({ agentId, taskId }) =>
        ask(this.#hub, 'POST', `api/v1/agents/${agentId}/tasks`, { kind: 'work', taskId }),
      ),
    )
    for (const fleet of fleets) {
      void fleet.ended.then((how) => {
        if (this.#children.includes(fleet))
          this.#faults.push(`error: agents ended by themselves (${how}): ${fleet.complaint()}`)
      })
    }
  }

  #child(file: string, args: readonly string[]): Child {
    const child = startChild(file, args)
    this.#children.push(child)
    return child
  }

  async #judge(pressed: readonly FleetPress[]): Promise<FleetResult> {
    const made = issuedFor(pressed, await this.#audit())
    const accepted = await finalStates(this.#hub, made, SETTLE_MS_MAX)
    const entries = await this.#audit()
    const wrong = [...this.#faults]
    let effectsCount = 0
    for (const agentId of this.#agentIds) {
      const mine = accepted.filter((control) => control.agentId === agentId)
      const lines = readEffects(join(this.#directory, agentId, EFFECTS_FILE))
      const effects = effectsOf(lines, mine)
      effectsCount += effects.length
      const found = violations({ accepted: mine, effects, memoryLost: false, historyLost: false })
      wrong.push(...[...found, ...localViolations(lines, mine)].map((text) => `${agentId}: ${text}`))
    }
    const records = accepted.flatMap(({ record }) => record ?? [])
    wrong.push(...auditViolations({ asked: pressed, records, entries }))
    return {
      seed: this.#seed,
      killedAt: this.#killedAt,
      asked: pressed.length,
      accepted: accepted.length,
      effects: effectsCount,
      auditEntries: entries.length,
      violations: wrong,
    }
  }

  async #audit(): Promise<readonly AuditEntry[]> {
    const entries: AuditEntry[] = []
    for (let cursor = ''; ;) {
      const query = cursor === '' ? '' : `&cursor=${cursor}`
      const { json } = await ask(this.#hub, 'GET', `api/v1/audit?limit=${limits.PAGE_MAX}${query}`)
      const { items, nextCursor } = json as Page<AuditEntry>
      entries.push(...items)
      if (nextCursor === undefined) return entries
      cursor = nextCursor
    }
  }
}

type AgentsIssued = Issued & { readonly agentId: string }

/** The controls that were accepted, and of those that nobody was told about the ones that the trail has. */
function issuedFor(pressed: readonly FleetPress[], entries: readonly AuditEntry[]): readonly AgentsIssued[] {
  const created = new Map(
    entries
      .filter(({ kind }) => kind === 'control.created')
      .map(({ data }) => data as unknown as ControlRecord)
      .map((record) => [numberOf(record), record]),
  )
  return pressed.flatMap(({ number, agentId, answer, issued }) => {
    const record = created.get(number)
    if (issued !== undefined) return [{ ...issued, agentId }]
    return answer === 'unanswered' && record !== undefined ? [{ ...issuedOf(number, record), agentId }] : []
  })
}
