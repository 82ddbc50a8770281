/** An agent's status in its state directory, for `downlink agent status` and whoever else looks at a running agent from outside. */
import {
  field,
  integerField,
  isJsonObject,
  limits,
  parseJson,
  stringField,
  type Clock,
  type Json,
  type JsonObject,
  type Timer,
} from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentStatus } from '../options.ts'
import { createProcessTable, isAlive } from '../tasks/process-table.ts'

const STATUS_FILE = 'status.json'
const FORMAT = 1
const FILE_BYTES_MAX = 65_536

/** What a status file needs. */
export interface StatusFileOptions {
  readonly directory: string
  readonly agentId: string
  readonly clock: Clock
  readonly status: () => AgentStatus
  readonly onTrouble: (error: unknown, message: string) => void
}

/** Begins to write the file, unless there is no state directory. */
export async function openStatusFile(
  options: Omit<StatusFileOptions, 'directory'> & { readonly directory: string | undefined },
): Promise<StatusFile | undefined> {
  const { directory, agentId, clock, status, onTrouble } = options
  if (directory === undefined) return undefined
  const file = new StatusFile({ directory, agentId, clock, status, onTrouble })
  await file.start()
  return file
}

/** Writes the file whenever the status changes, and now and then to show that the process lives. */
export class StatusFile {
  readonly #options: StatusFileOptions
  readonly #startedMs: number
  #identity: JsonObject = { pid: process.pid }
  #timer: Timer | undefined
  #isDue = false
  #isStopped = false
  #writing: Promise<void> = Promise.resolve()

  constructor(options: StatusFileOptions) {
    this.#options = options
    this.#startedMs = options.clock.wallMs()
  }

  async start(): Promise<void> {
    const table = createProcessTable(process.platform)
    const [bootId, row] = await Promise.all([table?.bootId(), table?.find(process.pid)]).catch(() => [])
    if (bootId !== undefined && row !== undefined) {
      this.#identity = { pid: process.pid, bootId, processStart: row.startTime }
    }
    this.#write({})
  }

  /** The status has changed. */
  changed(): void {
    if (this.#isDue || this.#isStopped) return
    this.#isDue = true
    this.#wait(limits.STATUS_FILE_MS_MIN)
  }

  /** Says how it ended; nothing is written afterwards. */
  async stop(reason: string): Promise<void> {
    this.#write({ endedMs: Math.round(this.#options.clock.wallMs()), endReason: reason })
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#writing
  }

  #wait(delayMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#options.clock.setTimer(delayMs, () => this.#write({}))
  }

  #write(end: JsonObject): void {
    if (this.#isStopped) return
    const { agentId, clock, status } = this.#options
    this.#isDue = false
    this.#wait(limits.STATUS_FILE_MS_MAX)
    const text = `${JSON.stringify({
      format: FORMAT,
      agentId,
      ...this.#identity,
      startedMs: Math.round(this.#startedMs),
      updatedMs: Math.round(clock.wallMs()),
      ...end,
      status: status(),
    })}\n`
    this.#writing = this.#writing.then(() => this.#replace(text))
  }

  /** As a whole or not at all, and not flushed: after a power cut the process that it tells of is gone anyway. */
  async #replace(text: string): Promise<void> {
    const path = join(this.#options.directory, STATUS_FILE)
    const temporary = `${path}.${randomUUID().slice(0, 8)}.new`
    try {
      const handle = await open(temporary, 'wx', 0o600)
      try {
        await handle.writeFile(text)
      } finally {
        await handle.close()
      }
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined)
      this.#options.onTrouble(
        error,
        'the status file cannot be written; downlink agent status shows old news',
      )
    }
  }
}

/**
 * How an agent looks from outside. `running`: its process lives and writes. `silent`: its process lives and has
 * written nothing for too long: it hangs, or stands stopped. `ended`: it said good-bye. `died`: it did not.
 */
export type AgentProcessState = 'running' | 'silent' | 'ended' | 'died'

/** What is known of an agent by its state directory. */
export interface AgentStatusReport {
  readonly process: AgentProcessState
  readonly agentId: string
  readonly pid: number
  /** Of the run of the agent, ms since the Unix epoch. */
  readonly startedMs: number
  readonly updatedMs: number
  readonly endedMs?: number
  /** Why it ended: `stopped`, `revoked`, or the code of what broke it. */
  readonly endReason?: string
  /** As of `updatedMs`, in JSON: `hub` is a text. */
  readonly status: JsonObject
}

/**
 * Reads the status of the agent whose `stateDirectory` this is, from any process on its machine that may read it;
 * undefined if no agent of this version ever ran there.
 * @param wallMs - the time now.
 * @throws the error of the file system if the file cannot be read.
 */
export async function readAgentStatus(
  stateDirectory: string,
  wallMs: number,
): Promise<AgentStatusReport | undefined> {
  let text: string
  try {
    text = await readFile(join(stateDirectory, STATUS_FILE), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  const json = text.length > FILE_BYTES_MAX ? undefined : parseJson(text, limits.JSON_DEPTH_MAX)
  if (!isJsonObject(json)) return undefined
  const whole = (name: string): number | undefined => integerField(json, name, 0, Number.MAX_SAFE_INTEGER)
  const agentId = stringField(json, 'agentId', limits.ID_CHARS_MAX)
  const [pid, startedMs, updatedMs, endedMs] = [
    whole('pid'),
    whole('startedMs'),
    whole('updatedMs'),
    whole('endedMs'),
  ]
  const status = field(json, 'status')
  if (agentId === undefined || pid === undefined || startedMs === undefined) return undefined
  if (updatedMs === undefined || !isJsonObject(status)) return undefined
  const endReason = stringField(json, 'endReason', limits.MESSAGE_CHARS_MAX)
  const isQuiet = wallMs - updatedMs > 3 * limits.STATUS_FILE_MS_MAX
  const state =
    endedMs !== undefined ? 'ended' : !(await lives(pid, json)) ? 'died' : isQuiet ? 'silent' : 'running'
  return {
    process: state,
    agentId,
    pid,
    startedMs,
    updatedMs,
    ...(endedMs === undefined ? {} : { endedMs }),
    ...(endReason === undefined ? {} : { endReason }),
    status,
  }
}

/** Whether the very process lives that wrote the file: by now its pid may be another's. */
async function lives(pid: number, written: JsonObject): Promise<boolean> {
  const table = createProcessTable(process.platform)
  const [bootId, start]: (Json | undefined)[] = [field(written, 'bootId'), field(written, 'processStart')]
  if (table !== undefined && typeof start === 'string') {
    const [boot, row] = await Promise.all([table.bootId(), table.find(pid)])
    return boot === bootId && row !== undefined && isAlive(row) && row.startTime === start
  }
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
