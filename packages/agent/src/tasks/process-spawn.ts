/** Starts a process that holds still before its first instruction until it is let go. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Duplex, Readable, Writable } from 'node:stream'

/** How a process ended. */
export interface ProcessExit {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that has been started but runs nothing of its command yet. */
export interface HeldProcess {
  readonly child: ChildProcess
  readonly pid: number
  readonly stdout: Readable
  readonly stderr: Readable
  /** Resolves when the process, not yet its children, has ended. */
  readonly exited: Promise<ProcessExit>
  /** Lets the command run, with `input` as its whole standard input. */
  release(input: string): void
  /** The command shall never run: before `release`, the process ends by itself. Does nothing after it. */
  abandon(): void
}

/** `stdio` as it is asked for below; the last one is missing on Windows. */
type Streams = readonly [stdin: Writable, stdout: Readable, stderr: Readable, gate: Duplex | null]

/** Where and with what a command runs. */
export interface SpawnOptions {
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  readonly platform: NodeJS.Platform
}

// Waits for the word `go` on descriptor 3, then becomes the command: pid, start time, group and session stay.
// If the agent dies before, the pipe closes, `read` fails and nothing has run. The command stands in "$@", so no
// shell ever reads it.
const GATE =
  'read -r downlink_go <&3 && [ "$downlink_go" = go ] || exit 125\nunset downlink_go\nexec 3<&-\nexec "$@"'

/**
 * Starts `argv` in a session and process group of its own, held.
 * On Windows it runs at once and is not held; there a child ends with the agent that started it.
 * @throws if the process cannot be started.
 */
export async function spawnHeld(argv: readonly string[], options: SpawnOptions): Promise<HeldProcess> {
  const { cwd, env, platform } = options
  const isHeld = platform !== 'win32'
  const [program = '', ...args] = isHeld ? ['/bin/sh', '-c', GATE, 'sh', ...argv] : argv
  const child = spawn(program, args, {
    ...(cwd === undefined ? {} : { cwd }),
    env,
    detached: isHeld,
    windowsHide: true,
    stdio: ['pipe', 'pipe', 'pipe', isHeld ? 'pipe' : 'ignore'],
  })
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (status, signal) => resolve({ status, signal }))
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  // Later errors are of `child.kill`, whose callers look at the process itself.
  child.on('error', () => {})
  const [stdin, stdout, stderr, gate] = child.stdio as unknown as Streams
  // A command may end without reading its input, or before it was let go: EPIPE is no error of the task.
  stdin.on('error', () => {})
  gate?.on('error', () => {})
  // Read to its end, or the socket outlives the gate.
  gate?.resume()
  let isReleased = false
  return {
    child,
    pid: child.pid ?? 0,
    stdout,
    stderr,
    exited,
    release(input) {
      isReleased = true
      stdin.end(input)
      gate?.end('go\n')
    },
    abandon() {
      if (isReleased) return
      stdin.destroy()
      gate?.destroy()
    },
  }
}
