/**
 * An agent as a process of its own, to be killed. It has tasks of its own (t1…), decides about them by itself now and
 * then, and runs tasks of the hub (w1…) with verbs. All that takes effect becomes a line of an append-only log.
 */
import { createAgent, defineTask, enroll, fileCredential, type Agent, type Control } from '@downlink/agent'
import { delay, DownlinkError, isStateVerb, systemClock, type StateVerb } from '@downlink/protocol'
import { channel } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '../simulation/scheduler.ts'
import { openMutantJournal } from './agent-mutants.ts'
import { openEffects } from './effects.ts'
import { armKillPoint, endWithParent, parseKillPoint, stepField } from './kill-point.ts'
import { tellingDisk } from './telling-disk.ts'

const ENROLL_TRIES = 50
const ENROLL_PAUSE_MS = 100
/** Some ten controls: a run compacts several times. */
const COMPACT_BYTES = 6_000
/** Longest pause between two local decisions, ms. */
const DECIDE_MS_MAX = 120
const DECISIONS: readonly StateVerb[] = ['pause', 'resume']
const OWN_TASKS = ['t1', 't2', 't3']

const { values } = parseArgs({
  options: {
    directory: { type: 'string', default: '.' },
    hub: { type: 'string', default: '' },
    agent: { type: 'string', default: 'agent-1' },
    life: { type: 'string', default: '0' },
    seed: { type: 'string', default: '0' },
    key: { type: 'string' },
    kill: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
    tasks: { type: 'boolean', default: false },
  },
})
endWithParent()
const steps = channel('downlink:kills:agent')
const publish = (step: string): void => steps.publish({ step })
const point = parseKillPoint(values.kill)
if (point !== undefined) {
  armKillPoint(point, {
    'downlink:agent:control': stepField,
    'downlink:agent:decision': () => 'deciding',
    'downlink:kills:agent': stepField,
  })
}

const life = Number(values.life)
const log = openEffects(join(values.directory, 'effects.jsonl'))
const credential = fileCredential(join(values.directory, 'credential'))
await enrollOnce()

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
  hubs: [values.hub],
  credential,
  stateDirectory: values.directory,
  ...(values.tasks ? { tasks: { work } } : {}),
  onControl: told,
  openJournal: (directory, clock, options) =>
    openMutantJournal(values.mutant, directory, clock, {
      ...options,
      compactBytes: COMPACT_BYTES,
      disk: tellingDisk(() => publish('compacting')),
    }),
})
agent.on('status', ({ status }) => {
  if (status.downlink === 'sse') console.log(JSON.stringify({ ready: true }))
})
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
await Promise.all([agent.run({ signal: stop.signal }), decideNowAndThen(agent, stop.signal)])

function told({ controlId, epoch = 0, revision = 0, lane = '', action, taskId }: Control): void {
  const atMs = Date.now()
  if (controlId === undefined) return log({ type: 'local', atMs, life, taskId, action })
  const delivery = isStateVerb(action) ? 'atLeastOnce' : 'atMostOnce'
  log({ type: 'told', atMs, life, controlId, epoch, revision, lane, action, taskId, delivery })
}

async function decideNowAndThen(running: Agent, signal: AbortSignal): Promise<void> {
  const random = seededRandom(Number(values.seed) * 97 + life)
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]
  while (!signal.aborted) {
    await delay(systemClock, random() * DECIDE_MS_MAX)
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

async function enrollOnce(): Promise<void> {
  if ((await credential.read()) !== undefined) return
  const exchange = {
    enrollmentKey: values.key ?? '',
    agentId: values.agent,
    exchangeId: `exchange-${values.agent}`,
  }
  for (let left = ENROLL_TRIES; ; left--) {
    try {
      await enroll({ hub: values.hub, ...exchange, credential })
      return
    } catch (error) {
      // The hub may die under the exchange; the same one again burns nothing.
      if (left === 0 || (error instanceof DownlinkError && error.retry === 'never')) throw error
      await delay(systemClock, ENROLL_PAUSE_MS)
    }
  }
}
