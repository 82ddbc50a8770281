/** One seed: a hub, an agent, an operator; one of the two processes dies at the seed's step, and is started again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { violations } from '../simulation/checker.ts'
import { seededRandom } from '../simulation/scheduler.ts'
import { startChild, type Child } from './child.ts'
import { EFFECTS_FILE, effectsOf, localViolations, readEffects } from './effects.ts'
import { ask, finalStates, issueControls, type HubAddress } from './operator.ts'

/** Who is killed. */
export type Victim = 'hub' | 'agent'

/** The steps at which each can die. */
export const KILL_STEPS: Readonly<Record<Victim, readonly string[]>> = {
  hub: ['accepted', 'commit-sent', 'committed', 'replied', 'written'],
  agent: ['received', 'journalled', 'applied', 'acknowledged', 'compacting', 'verb', 'deciding'],
}

/** What one seed found. */
export interface KillResult {
  readonly seed: number
  readonly victim: Victim
  readonly step: string
  readonly wasKilled: boolean
  readonly accepted: number
  readonly effects: number
  readonly violations: readonly string[]
}

const AGENT_ID = 'agent-1'
const CONTROLS = 40
const VERB_TASKS = ['w1', 'w2']

/** Runs one seed. @param mutant - one of `HUB_MUTANTS` or `AGENT_MUTANTS`: the checker must find it out. */
export async function runKill(victim: Victim, seed: number, mutant: string): Promise<KillResult> {
  const random = seededRandom(seed * 2 + (victim === 'hub' ? 0 : 1))
  const steps = KILL_STEPS[victim]
  const step = steps[seed % steps.length] ?? ''
  const kill = `${step}:${1 + Math.floor(random() * 12)}`
  const directory = await mkdtemp(join(tmpdir(), 'downlink-kill-'))
  // An agent that runs no tasks is pushed controls of its own ones; the other has to ask for them by a sync.
  const verbTasks = step === 'verb' || seed % 2 === 1 ? VERB_TASKS : []
  const world = new KillWorld({ directory, mutant, seed, verbTasks })
  try {
    return await world.run(victim, seed, step, kill, random)
  } catch (error) {
    const violation = `error: ${error instanceof Error ? error.message : String(error)}`
    return { seed, victim, step, wasKilled: true, accepted: 0, effects: 0, violations: [violation] }
  } finally {
    await world[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  }
}

interface KillWorldOptions {
  readonly directory: string
  readonly mutant: string
  readonly seed: number
  /** Tasks that the hub has the agent run. */
  readonly verbTasks: readonly string[]
}

class KillWorld implements AsyncDisposable {
  readonly #options: KillWorldOptions
  readonly #hub: HubAddress = { url: '', token: '' }
  readonly #children: Child[] = []
  #key = ''
  readonly #faults: string[] = []
  #lives = 0
  #killed = 0

  constructor(options: KillWorldOptions) {
    this.#options = options
  }

  async run(
    victim: Victim,
    seed: number,
    step: string,
    kill: string,
    random: () => number,
  ): Promise<KillResult> {
    await this.#startHub(victim === 'hub' ? kill : undefined)
    const { json } = await ask(this.#hub, 'POST', 'api/v1/enrollment-keys', { uses: 5 })
    this.#key = (json as { key: string }).key
    await this.#startAgent(victim === 'agent' ? kill : undefined).ready.catch(() => undefined)
    const { directory, verbTasks } = this.#options
    for (const taskId of verbTasks) {
      await ask(this.#hub, 'POST', `api/v1/agents/${AGENT_ID}/tasks`, { kind: 'work', taskId })
    }
    const issued = await issueControls(this.#hub, AGENT_ID, { count: CONTROLS, verbTasks }, random)
    const accepted = await finalStates(this.#hub, issued)
    const lines = readEffects(join(directory, EFFECTS_FILE))
    const effects = effectsOf(lines, accepted)
    return {
      seed,
      victim,
      step,
      wasKilled: this.#killed > 0,
      accepted: accepted.length,
      effects: effects.length,
      violations: [
        ...this.#faults,
        ...violations({ accepted, effects, memoryLost: false, historyLost: false }),
        ...localViolations(lines, accepted),
      ],
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const children = this.#children.splice(0)
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()))
  }

  async #startHub(kill?: string): Promise<void> {
    const port = this.#hub.url === '' ? '0' : new URL(this.#hub.url).port
    const { directory, mutant } = this.#options
    const args = ['--directory', directory, '--port', port, '--mutant', mutant]
    const child = startChild('./hub-process.ts', kill === undefined ? args : [...args, '--kill', kill])
    this.#watch(child, () => this.#startHub())
    const { url, token } = await child.ready
    this.#hub.url = String(url)
    this.#hub.token = String(token)
  }

  #startAgent(kill?: string): Child {
    const { directory, mutant, seed, verbTasks } = this.#options
    const options = {
      directory,
      hub: this.#hub.url,
      agent: AGENT_ID,
      key: this.#key,
      life: String(this.#lives++),
      seed: String(seed),
      mutant,
      ...(kill === undefined ? {} : { kill }),
    }
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
    const child = startChild('./agent-process.ts', verbTasks.length > 0 ? [...args, '--tasks'] : args)
    this.#watch(child, () => Promise.resolve(this.#startAgent()))
    return child
  }

  /** Starts a killed child again; a child that ends in any other way is the test's own fault and stays down. */
  #watch(child: Child, again: () => Promise<unknown>): void {
    this.#children.push(child)
    void child.ended.then((how) => {
      if (!this.#children.includes(child)) return
      if (how !== 'SIGKILL') {
        this.#faults.push(`error: a process ended by itself (${how}): ${child.complaint()}`)
        return
      }
      this.#killed++
      again().catch((error: unknown) => console.error(error))
    })
  }
}
