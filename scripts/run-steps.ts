/** Runs the steps of a check, a few at a time, and prints one line for each. */

import type { CommandResult } from './run-command.ts'

export interface Step {
  readonly name: string
  /** What to do when it fails. */
  readonly remedy: string
  readonly run: () => CommandResult | Promise<CommandResult>
}

/**
 * Runs all `steps`, in their order, `lanes` at a time; prints each one's result as it ends, for a failed one
 * with its output and its remedy.
 * @returns the names of those that failed
 */
export async function runSteps(steps: readonly Step[], lanes: number): Promise<string[]> {
  const waiting = [...steps]
  const failed: string[] = []
  const lane = async (): Promise<void> => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) {
      if (!(await runStep(step))) failed.push(step.name)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return failed
}

async function runStep({ name, remedy, run }: Step): Promise<boolean> {
  const startMs = performance.now()
  const { ok, output } = await run()
  const seconds = ((performance.now() - startMs) / 1_000).toFixed(1)
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(8)} ${seconds.padStart(6)} s`)
  if (!ok) console.log(`${output.trimEnd()}\n→ ${remedy}\n`)
  return ok
}
