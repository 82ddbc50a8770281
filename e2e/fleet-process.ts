/** A fleet and its hub as processes, which are asked by lines and answer by lines of JSON. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** A fixture that runs. */
export interface FixtureProcess extends AsyncDisposable {
  /** Resolves with the next line that it prints and nobody has taken. @throws if it ends before. */
  next(): Promise<Readonly<Record<string, unknown>>>
  tell(line: string): void
  /** Resolves once it has ended. */
  readonly ended: Promise<void>
  kill(): Promise<void>
}

/** Starts a file of the folder `fixtures`. */
export function startFixture(file: string, args: readonly (string | number)[]): FixtureProcess {
  const path = fileURLToPath(new URL(`./fixtures/${file}`, import.meta.url))
  const child: ChildProcess = spawn(
    process.execPath,
    ['--conditions=@downlink/source', path, ...args.map(String)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('The fixture has no pipes. Spawn it with some.')
  // It may have ended already; what that means is said by whoever waits for its answer.
  stdin.on('error', () => undefined)
  const lines: string[] = []
  let changed = Promise.withResolvers<void>()
  let isEnded = false
  const notify = (): void => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  createInterface({ input: stdout }).on('line', (line) => {
    lines.push(line)
    notify()
  })
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isEnded = true
      notify()
      resolve()
    })
  })
  const kill = async (): Promise<void> => {
    if (!isEnded) child.kill('SIGKILL')
    await ended
  }
  return {
    ended,
    kill,
    tell: (line) => void stdin.write(`${line}\n`),
    async next() {
      for (;;) {
        const line = lines.shift()
        if (line !== undefined) return JSON.parse(line) as Readonly<Record<string, unknown>>
        if (isEnded)
          throw new Error(`${file} ended before it answered. Look at what it wrote to standard error.`)
        await changed.promise
      }
    },
    [Symbol.asyncDispose]: kill,
  }
}
