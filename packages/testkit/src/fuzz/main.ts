/** `npm run fuzz`: feeds everything that reads what others send, for a while, and prints what must not have happened. */
import { systemClock } from '@downlink/protocol'
import { inspect, parseArgs } from 'node:util'
import { Chance } from './chance.ts'
import { checkPrototypes, type FuzzTarget } from './fuzz-target.ts'
import { minimize } from './minimize.ts'
import { createTargets } from './targets.ts'

/** Of one target without a rest for the others, ms. */
const TURN_MS = 500
const SHOWN_CHARS_MAX = 2_000
/** Failures of one target after which it is left alone. */
const FAILURES_MAX = 3

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    first: { type: 'string', default: '1' },
    target: { type: 'string' },
  },
})
const minutes = Number(values.minutes)
const first = Number(values.seed ?? values.first)
const all = createTargets()
const targets = all.filter(({ name }) => values.target === undefined || name === values.target)
if (!(minutes > 0) || !Number.isSafeInteger(first) || targets.length === 0) {
  const names = all.map(({ name }) => name).join('|')
  console.error(`Usage: npm run fuzz -- [--minutes N] [--first N] [--seed N] [--target ${names}]`)
  process.exit(2)
}

/** One target's part of the run. */
class Campaign {
  readonly target: FuzzTarget
  executions = 0
  failures = 0
  workedMs = 0

  constructor(target: FuzzTarget) {
    this.target = target
  }

  get isOver(): boolean {
    return this.failures >= FAILURES_MAX
  }

  /** Runs cases until `untilMs`, or one. */
  async turn(untilMs: number): Promise<void> {
    const startMs = systemClock.monotonicMs()
    do {
      await this.one(first + this.executions)
      this.executions += 1
    } while (systemClock.monotonicMs() < untilMs && !this.isOver)
    this.workedMs += systemClock.monotonicMs() - startMs
  }

  private async one(seed: number): Promise<void> {
    const input = this.target.generate(new Chance(seed))
    const fault = await this.faultOf(input, seed)
    if (fault === undefined) return
    this.failures += 1
    const name = this.target.name
    console.log(
      `${name} seed ${seed} failed; replay it with: npm run fuzz -- --seed ${seed} --target ${name}`,
    )
    console.log(`  ${fault instanceof Error ? (fault.stack ?? fault.message) : inspect(fault)}`)
    const smallest = await minimize(input, async (part) => (await this.faultOf(part, seed)) !== undefined)
    const text = JSON.stringify(Buffer.from(smallest).toString('latin1'))
    console.log(`  by the ${smallest.length} bytes ${text.slice(0, SHOWN_CHARS_MAX)}`)
  }

  private async faultOf(input: Uint8Array, seed: number): Promise<unknown> {
    try {
      await this.target.run(input, new Chance(seed ^ 0x5eed))
      checkPrototypes()
      return undefined
    } catch (error) {
      return error ?? new Error('Undefined was thrown.')
    }
  }
}

const campaigns = targets.map((target) => new Campaign(target))
if (values.seed === undefined) {
  const endMs = systemClock.monotonicMs() + minutes * 60_000
  while (systemClock.monotonicMs() < endMs && campaigns.some((each) => !each.isOver)) {
    for (const each of campaigns.filter(({ isOver }) => !isOver)) {
      await each.turn(systemClock.monotonicMs() + TURN_MS)
    }
  }
} else {
  for (const each of campaigns) await each.turn(0)
}
for (const { target, executions, failures, workedMs } of campaigns) {
  await target.end?.()
  const perSecond = Math.round((executions * 1_000) / Math.max(1, workedMs))
  console.log(`${target.name}: ${executions} executions, ${perSecond}/s, ${failures} failures`)
}
const failed = campaigns.filter(({ failures }) => failures > 0).length
console.log(`${campaigns.length - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
