/** A project of an adopter: npm installs it outside the workspace, and its programs run with nothing of the workspace around them. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'

export const NPM_FLAGS: readonly string[] = [
  '--no-audit',
  '--no-fund',
  '--ignore-scripts',
  '--prefer-offline',
  '--loglevel=error',
]

/** Installs what the project's package.json names. Returns why that cannot be done here; what cannot be installed anywhere throws. */
export async function installProject(project: string, msMax: number): Promise<string | undefined> {
  try {
    await promisify(execFile)('npm', ['install', ...NPM_FLAGS], { cwd: project, timeout: msMax })
    return undefined
  } catch (error) {
    const text = String((error as { stderr?: string }).stderr ?? error)
    const isAway =
      /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET|ENOTCACHED/.test(text)
    if (isAway) return 'the npm registry cannot be reached'
    throw new Error(`npm cannot install the packed packages:\n${text}`, { cause: error })
  }
}

/** What makes it record its exchanges, see `exchanges/test-file.ts`. */
const { NODE_OPTIONS, DOWNLINK_TEST_EXCHANGES } = process.env
const RECORDING = { NODE_OPTIONS, DOWNLINK_TEST_EXCHANGES }

/** A program of the project. */
export interface Example {
  readonly child: ChildProcess
  readonly ended: Promise<number | string>
  text(): string
  prints(pattern: RegExp): Promise<RegExpExecArray>
}

/** Starts a program in the project; it is ended with the test. */
export function startExample(
  project: string,
  [program = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Example {
  const child = spawn(program, args, {
    cwd: project,
    env: { ...RECORDING, PATH: process.env.PATH, HOME: project, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  const watchers = new Set<() => void>()
  const look = (): void => watchers.forEach((watcher) => watcher())
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      look()
    })
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | string)
  void ended.then(look)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    ended,
    text: () => text,
    prints(pattern) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
      const watcher = (): void => {
        const found = pattern.exec(text)
        if (found !== null) resolve(found)
        else if (child.exitCode !== null || child.signalCode !== null) {
          reject(
            new Error(`${args.join(' ')} ended without printing ${String(pattern)}. It printed:\n${text}`),
          )
        } else return
        watchers.delete(watcher)
      }
      watchers.add(watcher)
      watcher()
      return promise
    },
  }
}
