/** Starts the `downlink` command as a person would, and waits for what it prints. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url))

/** A command that runs. */
export interface DownlinkProcess {
  readonly child: ChildProcess
  /** Everything that it has printed, both streams in the order of their arrival. */
  readonly text: () => string
  /** Resolves once it has printed `part`. @throws if it ends before. */
  prints(part: string | RegExp): Promise<void>
  /** Resolves with its exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>
  /** Sends a signal and waits for the end; does nothing more to one that has ended. */
  stop(signal?: NodeJS.Signals): Promise<number | string>
}

/**
 * Starts `downlink ARGS` from its sources in the folder `cwd`.
 * @param within - a command that runs another one in its own place, such as `ip netns exec NAME`.
 */
export function startDownlink(
  cwd: string,
  args: readonly string[],
  within: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): DownlinkProcess {
  const [program = '', ...all] = [...within, process.execPath, '--conditions=@downlink/source', MAIN, ...args]
  const child = spawn(program, all, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  let text = ''
  const watchers = new Set<() => void>()
  const take = (chunk: Buffer): void => {
    text += chunk.toString('utf8')
    for (const watcher of watchers) watcher()
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown')
      for (const watcher of watchers) watcher()
    })
  })
  return {
    child,
    text: () => text,
    ended,
    prints(part) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const look = (): void => {
        if (typeof part === 'string' ? text.includes(part) : part.test(text)) resolve()
        else if (child.exitCode !== null || child.signalCode !== null) {
          reject(
            new Error(
              `downlink ${args.join(' ')} ended without printing ${String(part)}. It printed:\n${text}`,
            ),
          )
        } else return
        watchers.delete(look)
      }
      watchers.add(look)
      look()
      return promise
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal)
      return ended
    },
  }
}

/** Runs `downlink ARGS` to its end. */
export async function runDownlink(
  cwd: string,
  args: readonly string[],
): Promise<{ readonly code: number | string; readonly text: string }> {
  const command = startDownlink(cwd, args)
  const code = await command.ended
  return { code, text: command.text() }
}
