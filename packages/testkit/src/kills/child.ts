/** A child process that is waited for by what it prints, and always ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A started child. */
export interface Child extends AsyncDisposable {
  /** Resolves to the first line of JSON that it prints; rejects if it ends before. */
  readonly ready: Promise<Readonly<Record<string, unknown>>>
  /** Resolves to the signal or status with which it ended. */
  readonly ended: Promise<string>
  /** The last that it wrote to standard error. */
  complaint(): string
  /** Kills it, unless it has ended. */
  kill(): void
}

/** Starts a TypeScript file of this folder with the same Node and conditions. */
export function startChild(file: string, args: readonly string[]): Child {
  const child: ChildProcess = spawn(
    process.execPath,
    ['--conditions=@downlink/source', new URL(file, import.meta.url).pathname, ...args],
    // The pipe on its standard input ends with this process, and the child with it.
    { stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let errors = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = `${errors}${chunk.toString()}`.slice(-4_096)
  })
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? String(code)))
  })
  const ready = new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).once('line', (line) => {
        resolve(JSON.parse(line) as Record<string, unknown>)
      })
    }
    void ended.then((how) => reject(new Error(`${file} ended (${how}) before it was ready: ${errors}`)))
  })
  // A child that is killed before anybody asks whether it is ready is no unhandled failure.
  ready.catch(() => undefined)
  const kill = (): void => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  }
  return {
    ready,
    ended,
    complaint: () => errors,
    kill,
    async [Symbol.asyncDispose]() {
      kill()
      await ended
    },
  }
}
