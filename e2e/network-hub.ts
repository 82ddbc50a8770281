/** A hub as `downlink hub` runs it, and an operator who asks it directly, whatever stands between it and its agents. */
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'
import { endWithThisProcess } from './server-process.ts'

/** How an operator's request is sent: `fetch`, or something that does so elsewhere. */
export type Send = (
  url: string,
  init: {
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body: string | null
  },
) => Promise<{ readonly status: number; readonly text: string }>

/** Where and how the hub runs. */
export interface NetworkHubOptions {
  readonly folder: string
  readonly heartbeat: string
  /** @defaultValue any free one */
  readonly port?: number
  /** @defaultValue loopback */
  readonly host?: string
  /** The address under which the operator asks it. @defaultValue `host` */
  readonly address?: string
  /** A command that runs another one, such as `ip netns exec NAME`. */
  readonly within?: readonly string[]
  readonly send?: Send
  /** More of the command line. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** A hub that runs. */
export interface NetworkHub extends AsyncDisposable {
  readonly port: number
  readonly process: DownlinkProcess
  /** @throws unless it is answered with 2xx */
  call(method: string, path: string, body?: object): Promise<Record<string, unknown>>
  /** Enrolls an agent; returns its credential. */
  enroll(agentId: string): Promise<string>
  /** Issues a control of the agent's own verb `mark`; returns its id once the hub has it. */
  mark(agentId: string, taskId: string, more?: object): Promise<string>
  /** Waits until the hub knows that the control was applied. @throws if that does not come. */
  applied(controlId: string): Promise<void>
}

const WAITS = 4

/** Starts it and waits until it is up. */
export async function startNetworkHub(options: NetworkHubOptions): Promise<NetworkHub> {
  const { folder, heartbeat, host = '127.0.0.1', within = [], send = sendFromHere } = options
  await mkdir(folder, { recursive: true })
  const args = ['hub', '--port', String(options.port ?? 0), '--host', host, '--heartbeat', heartbeat]
  const hub = startDownlink(folder, [...args, '--data', '.', ...(options.args ?? [])], within, options.env)
  endWithThisProcess(hub.child)
  await hub.prints(/operator token/)
  const port = Number(/http:\S+:(\d+)/.exec(hub.text())?.[1])
  const base = `http://${options.address ?? host}:${port}`
  const token = readFileSync(join(folder, 'operator-token'), 'utf8').trim()

  async function call(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const { status, text } = await send(`${base}${path}`, {
      method,
      headers: {
        ...(path.endsWith('/exchange') ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    })
    if (status < 200 || status > 299) throw new Error(`${method} ${path} was answered ${status}: ${text}`)
    return JSON.parse(text) as Record<string, unknown>
  }

  return {
    port,
    process: hub,
    call,
    async enroll(agentId) {
      const { key } = await call('POST', '/api/v1/enrollment-keys', {})
      const request = { authKey: key, agentId }
      const { apiKey } = await call('POST', '/api/internal/agent/authkey/exchange', request)
      return String(apiKey)
    },
    async mark(agentId, taskId, more = {}) {
      const control = { action: 'mark', taskId, ...more }
      return String((await call('POST', `/api/v1/agents/${agentId}/controls`, control)).controlId)
    },
    async applied(controlId) {
      let last = {}
      for (let asked = 0; asked < WAITS; asked += 1) {
        const control = await call('GET', `/api/v1/controls/${controlId}?wait=25s&until=applied`)
        if ((control.outcome as { state?: unknown } | undefined)?.state === 'applied') return
        last = control
      }
      throw new Error(
        `The hub never heard that the control was applied. It says: ${JSON.stringify(last)}. It printed: ${hub.text()}`,
      )
    },
    async [Symbol.asyncDispose]() {
      // A planned end would first tell every agent when to come back.
      await hub.stop('SIGKILL')
    },
  }
}

async function sendFromHere(url: string, { method, headers, body }: Parameters<Send>[1]): ReturnType<Send> {
  const response = await fetch(url, { method, headers, body })
  return { status: response.status, text: await response.text() }
}
