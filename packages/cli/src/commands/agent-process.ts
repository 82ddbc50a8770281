/** An agent in this process: its folder, its enrollment, its run. */
import {
  createAgent,
  enroll,
  fileCredential,
  processTask,
  type AgentEnd,
  type AgentStatus,
} from '@downlink/agent'
import { field, HttpError, isJsonObject, parseJson, stringField, limits } from '@downlink/protocol'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommandContext } from '../command-context.ts'
import { hasCode, makePrivateFolder, shownPath, writePrivateFile } from '../discovery.ts'
import { CommandError, EXIT } from '../exit-codes.ts'
import { lockFolder } from '../folder-lock.ts'
import { createLineLogger } from '../line-logger.ts'
import type { TaskKinds } from '../task-config.ts'

/** What an agent's folder remembers beside its credential. */
export interface AgentMemo {
  readonly agentId: string
  readonly hub: string
  /** Whether the hub was found in `./.downlink`, where its port may be another one at the next start. */
  readonly isLocal: boolean
}

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
  readonly allowPlainHttp?: boolean
  readonly onStatus?: (status: AgentStatus) => void
}

/** A prepared agent. Disposing of it lets go of its folder; do so after its run has ended. */
export interface AgentProcess extends Disposable {
  /** Resolves when `signal` has aborted, or the agent was revoked, and nothing of its tasks runs any more. */
  run(signal: AbortSignal): Promise<AgentEnd>
}

/** The folder's memo, or undefined before the first enrollment. */
export async function readAgentMemo(folder: string): Promise<AgentMemo | undefined> {
  const text = await readFile(join(folder, 'agent.json'), 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  })
  const json = parseJson(text, 8)
  if (!isJsonObject(json)) return undefined
  const agentId = stringField(json, 'agentId', limits.ID_CHARS_MAX)
  const hub = stringField(json, 'hub', limits.MESSAGE_CHARS_MAX)
  return agentId === undefined || hub === undefined
    ? undefined
    : { agentId, hub, isLocal: field(json, 'isLocal') === true }
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
  const { clock, random, cwd, output } = context
  const { folder, memo, name, kinds } = options
  await makePrivateFolder(folder)
  const lock = lockFolder(folder, shownPath(cwd, folder))
  try {
    await enrollOnce(context, options)
    const agent = createAgent({
      hubs: [memo.hub],
      credential: credentialOf(folder),
      agentId: memo.agentId,
      name,
      tasks: Object.fromEntries(Object.entries(kinds).map(([kind, task]) => [kind, processTask(task)])),
      stateDirectory: join(folder, 'state'),
      logger: createLineLogger(output, `agent ${memo.agentId}`, 'error'),
      allowPlainHttp: options.allowPlainHttp ?? false,
      clock,
      random,
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    })
    agent.on('status', ({ status }) => options.onStatus?.(status))
    return {
      run: (signal) => agent.run({ signal }),
      [Symbol.dispose]: () => lock[Symbol.dispose](),
    }
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
}

async function enrollOnce(context: CommandContext, options: AgentProcessOptions): Promise<void> {
  const { folder, memo, isUnknown = false } = options
  if (isUnknown || !(await hasCredential(folder))) {
    const enrollmentKey = await options.enrollmentKey()
    try {
      await enroll({
        hub: memo.hub,
        enrollmentKey,
        agentId: memo.agentId,
        credential: credentialOf(folder),
        clock: context.clock,
        signal: context.stopSignal(),
        allowPlainHttp: options.allowPlainHttp ?? false,
      })
    } catch (error) {
      throw enrollmentRefused(error, memo.agentId)
    }
  }
  await writePrivateFile(join(folder, 'agent.json'), `${JSON.stringify(memo)}\n`)
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
