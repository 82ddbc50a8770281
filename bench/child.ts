/** Starts the processes of the bench, asks them one thing at a time, and ends them. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { CpuProfile } from './flame/flame-tree.ts'

/** A process of the bench that answers each message with one. */
export interface Child extends AsyncDisposable {
  readonly pid: number
  /** @throws Error if the process ends instead of answering, or does not answer. */
  ask(request: object): Promise<unknown>
  /** The CPU profile of its main thread during `work`, if it answers such requests: see self-profile.ts. */
  profile(work: () => Promise<unknown>): Promise<CpuProfile>
}

/** Far longer than anything that is asked takes. */
const ANSWER_MS_MAX = 120_000

/** Starts `file`, which lies beside this one. */
export function startChild(
  file: string,
  args: readonly string[] = [],
  nodeArgs: readonly string[] = [],
): Child {
  const process = fork(new URL(file, import.meta.url), args, {
    execArgv: ['--conditions=@downlink/source', ...nodeArgs],
    serialization: 'advanced',
  })
  const exited = once(process, 'exit')
  // Its failure is told by `ask`.
  exited.catch(() => undefined)
  return {
    pid: process.pid ?? 0,
    ask: (request) => ask(process, file, request),
    async profile(work) {
      await ask(process, file, { do: 'beginProfile' })
      await work()
      return (await ask(process, file, { do: 'endProfile' })) as CpuProfile
    },
    [Symbol.asyncDispose]: async () => {
      if (process.exitCode !== null || process.signalCode !== null) return
      process.kill('SIGKILL')
      await exited
    },
  }
}

async function ask(child: ChildProcess, file: string, request: object): Promise<unknown> {
  const done = new AbortController()
  const timer = setTimeout(
    () => done.abort(new Error(`${file} does not answer. Mend the bench.`)),
    ANSWER_MS_MAX,
  )
  try {
    const answered = once(child, 'message', { signal: done.signal })
    const ended = once(child, 'exit', { signal: done.signal }).then(([code]) => {
      throw new Error(`${file} ended with ${String(code)} instead of answering. Its error is above.`)
    })
    child.send(request)
    const [answer] = (await Promise.race([answered, ended])) as [unknown]
    return answer
  } finally {
    clearTimeout(timer)
    done.abort()
  }
}
