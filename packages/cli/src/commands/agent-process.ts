/** An agent in this process: its folder, its enrollment, its run. */
import {
  createAgent,
  enroll,
  fileCredential,
  processTask,
  type AgentEnd,
  type AgentStatus,
} from '@downlink/agent'
import { lockDirectory } from '@downlink/agent/internal'
import { DownlinkError, HttpError } from '@downlink/protocol'
import { join } from 'node:path'
import { memoFile, type AgentMemo } from '../agent-memo.ts'
import type { AgentNetwork } from '../agent-network.ts'
import type { CommandContext } from '../command-context.ts'
import { makePrivateFolder, shownPath, writePrivateFile } from '../discovery.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { createLineLogger } from '../line-logger.ts'
import type { TaskKinds } from '../task-config.ts'

/** An agent to run. */
export interface AgentProcessOptions {
  readonly folder: string
  readonly memo: AgentMemo
  readonly name: string
  readonly kinds: TaskKinds
  /** Asked for only when there is no credential yet. */
  readonly enrollmentKey: () => Promise<string>
  /** Enrolls again, although there is a credential: this hub does not know the agent. */
  readonly isUnknown?: boolean
  readonly concurrency?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly network?: AgentNetwork
  readonly onStatus?: (status: AgentStatus) => void
}

/** A prepared agent. Disposing of it lets go of its folder; do so after its run has ended. */
export interface AgentProcess extends AsyncDisposable {
  /** Resolves when `signal` has aborted, or the agent was revoked, and nothing of its tasks runs any more. */
  run(signal: AbortSignal): Promise<AgentEnd>
}

/** Whether the folder holds a credential. */
export async function hasCredential(folder: string): Promise<boolean> {
  return (await credentialOf(folder).read()) !== undefined
}

/**
 * Takes the folder, enrolls if there is no credential yet, and makes the agent; it dials nothing more before `run`.
 * @throws CommandError if the folder is in use or the hub refuses; DownlinkError if the hub is not reached.
 */
export async function prepareAgent(
  context: CommandContext,
  options: AgentProcessOptions,
): Promise<AgentProcess> {
  const { clock, random, output } = context
  const { folder, memo, name, kinds } = options
  await makePrivateFolder(folder)
  const lock = await lockFolder(folder, context)
  try {
    await enrollOnce(context, options)
    const agent = createAgent({
      hubs: memo.hubs,
      credential: credentialOf(folder),
      agentId: memo.agentId,
      name,
      tasks: Object.fromEntries(Object.entries(kinds).map(([kind, task]) => [kind, processTask(task)])),
      stateDirectory: join(folder, 'state'),
      logger: createLineLogger(output, `agent ${memo.agentId}`, 'error'),
      ...options.network,
      clock,
      random,
      ...(options.labels === undefined ? {} : { labels: options.labels }),
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    })
    agent.on('status', ({ status }) => options.onStatus?.(status))
    return {
      run: (signal) => agent.run({ signal }),
      [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
    }
  } catch (error) {
    await lock[Symbol.asyncDispose]()
    throw error
  }
}

async function enrollOnce(context: CommandContext, options: AgentProcessOptions): Promise<void> {
  const { folder, memo, isUnknown = false } = options
  if (isUnknown || !(await hasCredential(folder))) {
    const enrollmentKey = await options.enrollmentKey()
    const { mode: _, ...network } = options.network ?? { allowPlainHttp: false }
    try {
      await enroll({
        hub: memo.hubs,
        enrollmentKey,
        agentId: memo.agentId,
        credential: credentialOf(folder),
        clock: context.clock,
        random: context.random,
        signal: context.stopSignal(),
        ...network,
      })
    } catch (error) {
      throw enrollmentRefused(error, memo.agentId)
    }
  }
  await writePrivateFile(memoFile(folder), `${JSON.stringify(memo)}\n`)
}

/** Takes the folder, so that no two processes enroll in it at once; the agent takes its state directory by itself. */
async function lockFolder(folder: string, { clock, cwd }: CommandContext): Promise<AsyncDisposable> {
  try {
    return await lockDirectory(folder, clock)
  } catch (error) {
    if (!(error instanceof DownlinkError) || error.code !== 'state_directory_in_use') throw error
    throw new CommandError(
      EXIT.failed,
      `Another process runs the agent in ${shownPath(cwd, folder)}. ${error.message} To start a second one here: downlink agent --name second`,
      { cause: error },
    )
  }
}

function enrollmentRefused(error: unknown, agentId: string): unknown {
  if (!(error instanceof HttpError)) return error
  switch (error.code) {
    case 'agent_exists':
      return new CommandError(
        EXIT.refused,
        `The hub has an agent ${agentId} already. Choose another --name or --agent-id; or, if it is this one, a key of its own: downlink enroll --agent-id ${agentId}`,
        { cause: error },
      )
    case 'invalid':
    case 'expired':
    case 'used':
    case 'revoked':
      return new CommandError(
        EXIT.refused,
        `The hub did not take the enrollment key (${error.code}). Make a new one: downlink enroll`,
        { cause: error },
      )
    default:
      return error
  }
}

function credentialOf(folder: string): ReturnType<typeof fileCredential> {
  return fileCredential(join(folder, 'credential'))
}
