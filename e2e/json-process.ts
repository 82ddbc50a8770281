/** A child process that prints a line of JSON for everything that happens to it, and is always ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** Longest wait for a line before the test says what never came, ms; a test's own time limit is the longer one. */
const WAIT_MS_MAX = 110_000

/** A process that runs. */
export interface JsonProcess<Line> extends AsyncDisposable {
  readonly child: ChildProcess
  readonly lines: readonly Line[]
  /** Writes one line to its standard input. */
  write(line: string): void
  /** Resolves with what `look` finds in all lines so far, once it finds something. @throws if it ends before, or nothing comes. */
  until<T>(what: string, look: (lines: readonly Line[]) => T | undefined | false): Promise<T>
}

/** Starts `command`; the pipe on its standard input ends with this process. */
export function startJsonProcess<Line>(
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): JsonProcess<Line> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  const lines: Line[] = []
  const watchers = new Set<() => void>()
  let complaint = ''
  let isEnded = false
  const tell = (): void => {
    for (const watcher of watchers) watcher()
  }
  child.stdin.on('error', () => {})
  child.stderr.on('data', (chunk: Buffer) => (complaint = `${complaint}${String(chunk)}`.slice(-4_096)))
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line) as Line)
    tell()
  })
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => (complaint = error.message))
    child.once('close', () => {
      isEnded = true
      tell()
      resolve()
    })
  })
  return {
    child,
    lines,
    write: (line) => void child.stdin.write(`${line}\n`),
    until(what, look) {
      return new Promise((resolve, reject) => {
        const fail = (why: string): void => {
          watchers.delete(watcher)
          reject(
            new Error(`${why} ${what}. Its last lines: ${JSON.stringify(lines.slice(-12))} ${complaint}`),
          )
        }
        const timer = setTimeout(() => fail('It never came to this:'), WAIT_MS_MAX)
        const watcher = (): void => {
          const found = look(lines)
          if (found !== undefined && found !== false) {
            watchers.delete(watcher)
            resolve(found)
          } else if (isEnded) fail('The process ended before this:')
          else return
          clearTimeout(timer)
        }
        watchers.add(watcher)
        watcher()
      })
    },
    async [Symbol.asyncDispose]() {
      if (!isEnded) {
        // One that stands still takes no other signal.
        child.kill('SIGKILL')
      }
      await ended
    },
  }
}
