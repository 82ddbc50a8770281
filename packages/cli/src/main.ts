/** The `downlink` command as a process: its arguments, streams, signals and exit code. */
import { systemClock, systemRandom } from '@downlink/protocol'
import { readFileSync } from 'node:fs'
import type { CommandContext } from './command-context.ts'
import { CommandError, EXIT } from './exit-codes.ts'
import { createOutput, wantsColor, type OutputTarget } from './output.ts'
import { runCommand } from './program.ts'

/** What a shell reports of a process that SIGINT ended. */
const INTERRUPTED = 130

process.exitCode = await runCommand(process.argv.slice(2), processContext(), ownVersion())

function processContext(): CommandContext {
  let stop: AbortController | undefined
  return {
    output: createOutput({
      stdout: targetOf(process.stdout),
      stderr: targetOf(process.stderr),
      color: wantsColor(process.stdout.isTTY, process.env),
    }),
    cwd: process.cwd(),
    clock: systemClock,
    random: systemRandom,
    readStdin,
    stopSignal() {
      stop ??= stopOnSignals()
      return stop.signal
    },
  }
}

function stopOnSignals(): AbortController {
  const controller = new AbortController()
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    controller.abort(new CommandError(EXIT.done, 'Ended, as asked.'))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  return controller
}

function targetOf(stream: NodeJS.WriteStream): OutputTarget {
  // The reader of a pipe may leave, as `head` does; that is no failure of ours, and nobody is there to be told.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done)
    throw error
  })
  return {
    write: (text) => void stream.write(text),
    // Undefined, whatever its type says, where it is no terminal.
    isTerminal: Boolean(stream.isTTY),
    get columns() {
      return stream.columns
    },
  }
}

async function readStdin(bytesMax: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      throw new CommandError(EXIT.usage, `Standard input has more than ${bytesMax} bytes. Send less.`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function ownVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
