/** The fixture of an original agent as a process, and what it has seen so far. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const FIXTURE = fileURLToPath(new URL('./fixtures/original-agent.js', import.meta.url))

/** A control as it stands on the wire. */
export interface SeenControl {
  readonly action: string
  readonly taskId: string
}

/** One line of the fixture's output. */
export interface Seen {
  /** HTTP statuses. */
  readonly events?: number
  readonly sync?: number
  /** Lines of the stream: comments, and fields that it ignores. */
  readonly ping?: string
  readonly ignored?: string
  readonly event?: string
  readonly data?: string
  /** Whatever it was handed to apply, by stream or sync. */
  readonly control?: SeenControl
  /** One sync: what it said, and what it was told. */
  readonly reported?: readonly { readonly taskId: string; readonly status: string }[]
  readonly reply?: {
    readonly controls: readonly SeenControl[]
    readonly newTasks: readonly { readonly id: string }[]
    readonly watching?: boolean
  }
  readonly error?: string
  /** What the test made its work do. */
  readonly work?: string
}

/** An original that runs. */
export interface OriginalProcess extends AsyncDisposable {
  readonly seen: readonly Seen[]
  /** Resolves with what `look` finds in all that was seen, once it finds something. @throws if the process ends before. */
  until<T>(what: string, look: (seen: readonly Seen[]) => T | undefined | false): Promise<T>
  /** Sets a task's status, as the work itself would; resolves once that is so. */
  set(taskId: string, status: 'downloading' | 'completed'): Promise<void>
}

/** Starts the fixture; it ends with the test's process, too. */
export function startOriginal(url: string, key: string, agentId: string, syncMs: number): OriginalProcess {
  const child: ChildProcess = spawn(process.execPath, [FIXTURE, url, key, agentId, String(syncMs)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const seen: Seen[] = []
  const watchers = new Set<() => void>()
  let isEnded = false
  const tell = (): void => {
    for (const watcher of watchers) watcher()
  }
  const { stdin, stdout } = child
  if (stdin === null || stdout === null) throw new Error('The fixture has no pipes. Spawn it with some.')
  createInterface({ input: stdout }).on('line', (line) => {
    seen.push(JSON.parse(line) as Seen)
    tell()
  })
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      isEnded = true
      tell()
      resolve()
    })
  })
  function until<T>(what: string, look: (seen: readonly Seen[]) => T | undefined | false): Promise<T> {
    return new Promise((resolve, reject) => {
      const watcher = (): void => {
        const found = look(seen)
        if (found === undefined || found === false) {
          if (isEnded) reject(new Error(`The original ended before ${what}. It saw: ${textOf(seen)}`))
          return
        }
        watchers.delete(watcher)
        resolve(found)
      }
      watchers.add(watcher)
      watcher()
    })
  }
  return {
    seen,
    until,
    async set(taskId, status) {
      const work = `${taskId} ${status}`
      stdin.write(`${work}\n`)
      await until(work, (all) => all.some((line) => line.work === work))
    },
    async [Symbol.asyncDispose]() {
      if (!isEnded) child.kill('SIGKILL')
      await ended
    },
  }
}

function textOf(seen: readonly Seen[]): string {
  return JSON.stringify(seen.slice(-20))
}
