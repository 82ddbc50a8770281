/** Runs a server that somebody else wrote, such as nginx, in the foreground, and ends it by its pid. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/** A server that runs. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number
  /** What it wrote to both streams. */
  readonly text: () => string
  signal(name: NodeJS.Signals): void
  /** Sends the signal and waits for its end. */
  stop(name?: NodeJS.Signals): Promise<void>
}

/** Starts it; resolves once it `isReady`, which is asked again and again. @throws if it ends before. */
export async function startServerProcess(
  command: readonly string[],
  isReady: (text: string) => boolean | Promise<boolean>,
): Promise<ServerProcess> {
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  endWithThisProcess(child)
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => (text += error.message))
    child.once('close', () => resolve())
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (text += String(chunk)))
  }
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null
  const server: ServerProcess = {
    pid: child.pid ?? -1,
    text: () => text,
    signal: (name) => void child.kill(name),
    async stop(name = 'SIGTERM') {
      if (isRunning()) child.kill(name)
      await ended
    },
    async [Symbol.asyncDispose]() {
      await this.stop()
    },
  }
  while (!(await isReady(text))) {
    if (!isRunning() || child.pid === undefined) {
      await ended
      throw new Error(`${command.join(' ')} ended before it was ready. It said: ${text}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return server
}

/** Ends `child` when this process exits: a test that ran out of time disposes of nothing. */
export function endWithThisProcess(child: ChildProcess): void {
  const end = (): void => void child.kill()
  process.once('exit', end)
  child.once('close', () => process.off('exit', end))
}

/** Ports of loopback that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  const ports: number[] = []
  for (const server of servers) {
    if (!server.listening) await once(server, 'listening')
    ports.push((server.address() as AddressInfo).port)
  }
  for (const server of servers) {
    server.close()
    await once(server, 'close')
  }
  return ports
}
