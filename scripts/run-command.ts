/** Runs a command of the workspace to its end and keeps what it prints. */

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { delimiter, join } from 'node:path'

export const ROOT: string = join(import.meta.dirname, '..')

/** How a command ended. */
export interface CommandResult {
  readonly ok: boolean
  /** Standard output and standard error, in the order in which they arrived. */
  readonly output: string
}

export interface CommandOptions {
  /** Whether the output is also shown while it arrives. @defaultValue false */
  readonly echo?: boolean
  readonly env?: Readonly<Record<string, string>>
}

const running = new Set<ChildProcess>()

/** Runs `command` in the root of the workspace, with its own commands first on PATH; never throws. */
export function runCommand(
  command: string,
  args: readonly string[],
  { echo = false, env = {} }: CommandOptions = {},
): Promise<CommandResult> {
  const path = [join(ROOT, 'node_modules', '.bin'), process.env.PATH].join(delimiter)
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env, PATH: path },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  const keep = (text: string): void => {
    output += text
    if (echo) process.stdout.write(text)
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)
  return new Promise((resolve) => {
    const settle = (ok: boolean): void => {
      running.delete(child)
      resolve({ ok, output })
    }
    child.on('error', (error) => {
      keep(`${command} could not be started (${error.message}); run npm ci.\n`)
      settle(false)
    })
    child.on('close', (code, signal) => {
      if (signal !== null) keep(`${command} was ended by ${signal}.\n`)
      settle(code === 0)
    })
  })
}

/** An interrupted run passes the signal on, waits for what it started, and starts nothing more. */
function endBySignal(signal: 'SIGINT' | 'SIGTERM'): void {
  const exit = (): void => process.exit(signal === 'SIGINT' ? 130 : 143)
  const ended = [...running].map((child) => once(child, 'close'))
  for (const child of running) child.kill(signal)
  void Promise.all(ended).then(exit, exit)
}
// Once only: a second signal ends this process without waiting.
process.once('SIGINT', endBySignal).once('SIGTERM', endBySignal)
