/** A hub in a process of its own that is attacked: an agent of it whose controls must settle, and what its memory takes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'

/** A machine that is busy with the attack takes longer than what a poll waits by itself. */
const SETTLE = {
  timeout: 30_000,
  message: 'The agent’s sync was not answered. See what the hub is busy with.',
}

/** A hub that runs. */
export interface AttackedHub extends AsyncDisposable {
  readonly command: DownlinkProcess
  readonly folder: string
  readonly url: string
  readonly operatorToken: string
  /** Enrolls an agent. @returns its key */
  enroll(agentId: string): Promise<string>
  /** One control of the well-behaved agent, handed out by a sync and settled by the next. */
  roundTrip(taskId: string): Promise<void>
  /** Forgets the highest memory so far. */
  resetHighWater(): void
  /** The highest resident memory since the start or the last reset, KiB. */
  highWaterKib(): number
}

/** Starts one, with its well-behaved agent `a1`. */
export async function startAttackedHub(): Promise<AttackedHub> {
  const folder = await mkdtemp(join(tmpdir(), 'downlink-attacked-'))
  const command = startDownlink(folder, ['hub', '--port', '0', '--data', '.'])
  await command.prints(/operator token/)
  const url = /http:\S+/.exec(command.text())?.[0] ?? ''
  const operatorToken = readFileSync(join(folder, 'operator-token'), 'utf8').trim()
  const call = callsOf(url)
  const enroll = async (agentId: string): Promise<string> => {
    const { key } = await call('POST', '/api/v1/enrollment-keys', operatorToken, {})
    const { apiKey } = await call('POST', '/api/internal/agent/authkey/exchange', '', {
      authKey: key,
      agentId,
    })
    return String(apiKey)
  }
  const agentKey = await enroll('a1')
  const proc = `/proc/${command.child.pid}`
  return {
    command,
    folder,
    url,
    operatorToken,
    enroll,
    roundTrip: roundTrips(call, operatorToken, agentKey),
    // 5 sets the highest to what is resident now, proc_pid_clear_refs(5).
    resetHighWater: () => writeFileSync(`${proc}/clear_refs`, '5'),
    highWaterKib: () => Number(/VmHWM:\s*(\d+) kB/.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1]),
    async [Symbol.asyncDispose]() {
      await command.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

type Call = (method: string, path: string, token: string, body?: unknown) => Promise<Record<string, unknown>>

function callsOf(url: string): Call {
  return async (method, path, token, body) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return (await response.json()) as Record<string, unknown>
  }
}

function roundTrips(call: Call, operatorToken: string, agentKey: string): (taskId: string) => Promise<void> {
  let counter = 0
  /** A sync as one of our agents sends it; the hub may find them too many, and is asked again then. */
  async function sync(outcomes: readonly unknown[]): Promise<Record<string, unknown>> {
    let reply: Record<string, unknown> = {}
    await expect
      .poll(async () => {
        const base = { agentId: 'a1', tasks: [], freeSlots: 0, journalId: 'j', bootNonce: 'b' }
        const body = { ...base, connectCounter: ++counter, outcomes }
        reply = await call('POST', '/api/internal/agent/sync', agentKey, body)
        return reply
      }, SETTLE)
      .toHaveProperty('controls')
    return reply
  }

  return async (taskId) => {
    const cancel = { action: 'cancel', taskId }
    const made = await call('POST', '/api/v1/agents/a1/controls', operatorToken, cancel)
    const { controls } = (await sync([])) as { controls: Record<string, unknown>[] }
    const control = controls.find(({ controlId }) => controlId === made.controlId)
    expect(control, 'the sync did not hand out the control').toBeDefined()
    const waiting = call('GET', `/api/v1/controls/${String(made.controlId)}?wait=50s`, operatorToken)
    const { controlId, epoch, revision } = control ?? {}
    await sync([{ controlId, epoch, revision, state: 'applied' }])
    expect((await waiting).outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
  }
}
