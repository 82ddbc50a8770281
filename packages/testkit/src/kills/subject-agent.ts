/**
 * The agent that kills are tried on. It has tasks of its own (t1…), decides about them by itself now and then, and runs tasks
 * of the hub (w1…) with verbs. All that takes effect becomes a line of an append-only log.
 */
import { createAgent, defineTask, enroll, fileCredential, type Agent, type Control } from '@downlink/agent'
import type { Credential } from '@downlink/agent'
import { delay, DownlinkError, isStateVerb, systemClock, type StateVerb } from '@downlink/protocol'
import { join } from 'node:path'
import { seededRandom } from '../simulation/scheduler.ts'
import { openMutantJournal } from './agent-mutants.ts'
import { EFFECTS_FILE, openEffects, type EffectLine } from './effects.ts'
import { tellingDisk } from './telling-disk.ts'

/** What an agent of the tests is told. */
export interface SubjectOptions {
  /** For its credential, its state and the log of its effects. */
  readonly directory: string
  readonly hub: string
  readonly agentId: string
  readonly enrollmentKey: string
  /** How often it has been started before. */
  readonly life: number
  readonly seed: number
  /** One of `AGENT_MUTANTS`, or none. */
  readonly mutant: string
  /** Whether it runs tasks of the hub. */
  readonly hasTasks: boolean
  /** Longest pause between two decisions of its own, ms. */
  readonly decideMsMax: number
  /** Told of each step at which it could be killed. */
  readonly publish: (step: string) => void
}

const ENROLL_TRIES = 50
const ENROLL_PAUSE_MS = 100
/** Some ten controls: a run compacts several times. */
const COMPACT_BYTES = 6_000
const DECISIONS: readonly StateVerb[] = ['pause', 'resume']
const OWN_TASKS = ['t1', 't2', 't3']

/** Enrolls the agent, unless an earlier life did, and makes it; it runs once {@link runSubject} is called. */
export async function createSubject(
  options: SubjectOptions,
): Promise<{ agent: Agent; run: (signal: AbortSignal) => Promise<void> }> {
  const { directory, hub, life, publish, mutant } = options
  const log = openEffects(join(directory, EFFECTS_FILE))
  const credential = fileCredential(join(directory, 'credential'))
  await enrollOnce(options, credential)

  /** Writes the number of the control that it was called for; the worst moments are right before and right after. */
  function verb(args: unknown): void {
    publish('verb')
    log({ type: 'verb', atMs: Date.now(), life, number: (args as { number: number }).number })
    publish('verb')
  }
  const work = defineTask({
    verbs: { poke: { apply: verb }, reload: { apply: verb, idempotent: true } },
    run: (task) =>
      new Promise<void>((resolve) => task.signal.addEventListener('abort', () => resolve(), { once: true })),
  })
  const agent = createAgent({
    hubs: [hub],
    credential,
    stateDirectory: directory,
    ...(options.hasTasks ? { tasks: { work } } : {}),
    onControl: told,
    openJournal: (folder, clock, journal) =>
      openMutantJournal(mutant, folder, clock, {
        ...journal,
        compactBytes: COMPACT_BYTES,
        disk: tellingDisk(() => publish('compacting')),
      }),
  })
  function told({ controlId, epoch = 0, revision = 0, lane = '', action, taskId }: Control): void {
    const atMs = Date.now()
    if (controlId === undefined) return log({ type: 'local', atMs, life, taskId, action })
    const delivery = isStateVerb(action) ? 'atLeastOnce' : 'atMostOnce'
    log({ type: 'told', atMs, life, controlId, epoch, revision, lane, action, taskId, delivery })
  }
  return {
    agent,
    async run(signal) {
      await Promise.all([agent.run({ signal }), decideNowAndThen(agent, options, log, signal)])
    },
  }
}

async function decideNowAndThen(
  running: Agent,
  { seed, life, decideMsMax }: SubjectOptions,
  log: (line: EffectLine) => void,
  signal: AbortSignal,
): Promise<void> {
  const random = seededRandom(seed * 97 + life)
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]
  while (!signal.aborted) {
    await delay(systemClock, random() * decideMsMax)
    const [taskId = '', action = 'pause'] = [pick(OWN_TASKS), pick(DECISIONS)]
    try {
      await running.decide(taskId, action)
      log({ type: 'decided', taskId, action })
    } catch (error) {
      // Not yet running, or no longer.
      if (!(error instanceof DownlinkError)) throw error
    }
  }
}

async function enrollOnce(
  { hub, agentId, enrollmentKey }: SubjectOptions,
  credential: Credential,
): Promise<void> {
  if ((await credential.read()) !== undefined) return
  const exchange = { enrollmentKey, agentId, exchangeId: `exchange-${agentId}` }
  for (let left = ENROLL_TRIES; ; left--) {
    try {
      await enroll({ hub, ...exchange, credential })
      return
    } catch (error) {
      // The hub may die under the exchange; the same one again burns nothing.
      if (left === 0 || (error instanceof DownlinkError && error.retry === 'never')) throw error
      await delay(systemClock, ENROLL_PAUSE_MS)
    }
  }
}
