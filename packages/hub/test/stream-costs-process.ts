/**
 * A hub that counts what its streams cost it: AGENTS WASTE. It answers each message with its counts. WASTE puts back what the
 * hub avoids, to show that the counts would tell.
 */
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { Socket, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createAgents } from '../src/enrollment/agents.ts'
import { createHub, createMemoryStore } from '../src/index.ts'

/** What may be put back: a timer and copies of all frames for each stream, or all that `node:http` keeps of its request. */
export type Waste = 'none' | 'timers and copies' | 'requests'

/** What it tells at first. */
export interface StreamCostsStart {
  readonly url: string
  /** Of its agents. */
  readonly keys: readonly string[]
}

/** What is asked: all of it as it stands, or what one heartbeat to all takes. */
export type StreamCostsRequest = 'stand' | 'heartbeat'

export interface StandingCosts {
  /** That wait, on the hub's clock and in this process. */
  readonly timers: number
  /** Of JavaScript, after a collection; and what buffers take outside of it. */
  readonly heapBytes: number
}

export interface HeartbeatCosts {
  /** Calls of `write` on sockets. */
  readonly writes: number
  /** Different buffers among them. */
  readonly frames: number
  /** Undefined where the system does not tell. */
  readonly systemCalls: number | undefined
}

const HEARTBEAT_MS = 1_000
const [agents = '0', waste = 'none'] = process.argv.slice(2) as [string?, Waste?]
process.once('disconnect', () => process.exit())

const clock = createTestClock()
const written: Uint8Array[] = []
const write = Reflect.get(Socket.prototype, 'write') as (this: Socket, ...args: unknown[]) => boolean
Socket.prototype.write = function (this: Socket, chunk: Uint8Array, ...more: unknown[]) {
  const bytes = waste === 'timers and copies' ? Buffer.from(chunk) : chunk
  written.push(bytes)
  return write.call(this, bytes, ...more)
} as Socket['write']
if (waste === 'timers and copies')
  subscribe('net.server.socket', () => clock.setTimer(HEARTBEAT_MS, () => {}))

const store = createMemoryStore({ clock })
const enrolled = createAgents(store, clock)
const keys: string[] = []
for (let n = 0; n < Number(agents); n++) {
  keys.push((await enrolled.mint({ agentId: `a${n}`, labels: {}, mayReplace: false, isRepeat: false })).token)
}
const hub = await createHub({ store, clock, heartbeatMs: HEARTBEAT_MS })
const url =
  waste === 'requests' ? await urlOf(createServer(hub.handler)) : (await hub.listen({ port: 0 })).href

process.on('message', (request: StreamCostsRequest) => {
  if (request === 'heartbeat') process.send?.(heartbeat())
  else void stand().then((costs) => process.send?.(costs))
})
process.send?.({ url, keys } satisfies StreamCostsStart)

async function stand(): Promise<StandingCosts> {
  written.length = 0
  // What a collection frees may hold what only the next one can.
  for (let n = 0; n < 3; n++) {
    globalThis.gc?.()
    await turn()
  }
  const { heapUsed, external } = process.memoryUsage()
  const timeouts = process.getActiveResourcesInfo().filter((type) => type === 'Timeout')
  return { timers: clock.pendingTimers + timeouts.length, heapBytes: heapUsed + external }
}

function heartbeat(): HeartbeatCosts {
  written.length = 0
  const before = systemWrites()
  clock.advance(HEARTBEAT_MS)
  const systemCalls = before === undefined ? undefined : Number(systemWrites()) - before
  return { writes: written.length, frames: new Set(written).size, systemCalls }
}

function systemWrites(): number | undefined {
  try {
    return Number(/^syscw: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
  } catch {
    return undefined
  }
}

async function urlOf(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}
