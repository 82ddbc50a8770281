/** The load generator as a process: steps go down its standard input, one line of JSON for each comes back. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { buildLoad } from './load-build.ts'

/** What a step found: numbers by name, as bench/load prints them. */
export type StepFigures = Readonly<Record<string, unknown>>

/** A generator that runs. */
export interface Load extends AsyncDisposable {
  /** Takes a step such as `connect 1000`. @throws Error if the generator ends instead; it has said why. */
  step(line: string): Promise<StepFigures>
}

/** Starts it with the options of `load --help`. @throws Error if it cannot be built. */
export function startLoad(args: readonly string[]): Load {
  const build = buildLoad()
  if (build.program === undefined) throw new Error(`There is no load generator: ${build.reason}.`)
  const child = spawn(build.program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  // Its failure is told by `step`.
  ended.catch(() => undefined)
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async step(line) {
      child.stdin.write(`${line}\n`)
      const { value, done } = await lines.next()
      if (done === true) throw new Error(`The load generator ended at "${line}". Its error is above.`)
      return JSON.parse(value) as StepFigures
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** The number `name` of a step. @throws Error if the step has none. */
export function figureOf(figures: StepFigures, name: string): number {
  const value = figures[name]
  if (typeof value === 'number') return value
  throw new Error(`The step ${String(figures['step'])} has no number "${name}". Mend the bench.`)
}
