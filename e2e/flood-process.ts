/** Starts the flooded agent as a process, gives it orders, and reads how much memory it ever held. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { FloodOrder, FloodReport } from './fixtures/flood-agent.ts'

/** The process of an agent. */
export interface FloodedProcess<R = FloodReport> extends AsyncDisposable {
  /** Resolves with what it tells once it has carried the order out. @throws if it ends before */
  order(order: FloodOrder): Promise<R>
  /** Gives an order that takes until a later one. */
  begin(order: FloodOrder): void
  /** The most resident memory since `forgetPeak`, KiB. */
  peakKib(): number
  forgetPeak(): void
}

/** Starts `script` with `args`, by a Node as it is. */
export async function startFlooded<R extends { readonly did: string } = FloodReport>(
  args: readonly string[],
  script = './fixtures/flood-agent.ts',
): Promise<FloodedProcess<R>> {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), args, {
    execArgv: ['--conditions=@downlink/source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'close')
  async function told(did: string): Promise<R> {
    const { promise, resolve, reject } = Promise.withResolvers<R>()
    const onMessage = (message: unknown): void => {
      if ((message as R).did === did) resolve(message as R)
    }
    const onEnd = (): void => reject(new Error(`The agent's process ended before it did "${did}".`))
    child.on('message', onMessage).once('close', onEnd)
    return promise.finally(() => child.off('message', onMessage).off('close', onEnd))
  }
  await told('ready')
  return {
    order(order) {
      const done = told(order.order)
      child.send(order)
      return done
    },
    begin: (order) => void child.send(order),
    peakKib: () => Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]),
    forgetPeak: () => writeFileSync(`/proc/${child.pid}/clear_refs`, '5'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
