/** The hub: puts stores, controls, streams and both APIs together, and takes them apart again. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  DownlinkError,
  encodeDrain,
  limits,
  systemClock,
  systemRandom,
  type Clock,
  type Random,
} from '@downlink/protocol'
import type { FastifyInstance } from 'fastify'
import { createAgentMemories, rememberSeen } from './controls/agent-memory.ts'
import { createControlWaits, type ControlWaits } from './controls/control-waits.ts'
import { startExpiryLoop } from './controls/expiry-loop.ts'
import { createMailboxChanges } from './controls/mailbox-changes.ts'
import { createControlService } from './controls/service.ts'
import { createEventsRoute } from './delivery/events-route.ts'
import { startHeartbeatWheel } from './delivery/heartbeat-wheel.ts'
import { createSessionRegistry, type SessionRegistry } from './delivery/session-registry.ts'
import { createSyncRoute } from './delivery/sync-route.ts'
import { createWakePolls, type WakePolls } from './delivery/wake-polls.ts'
import { createWakeRoute } from './delivery/wake-route.ts'
import { createAgentRoutes } from './enrollment/agent-routes.ts'
import { createAgents } from './enrollment/agents.ts'
import { createEnrollmentKeys } from './enrollment/enrollment-keys.ts'
import { createHandler, createHttpServer, type Handler } from './http-server.ts'
import { createAgentApi } from './http/agent-api.ts'
import { createInFlight, type InFlight } from './http/in-flight.ts'
import { createRateLimits } from './http/rate-limits.ts'
import { createRequestGuard } from './http/request-guard.ts'
import { silentLogger, type Logger } from './logger.ts'
import { createOperatorApp } from './operator/operator-app.ts'
import type { Store } from './store/store.ts'

/** Options of {@link createHub}. */
export interface HubOptions {
  /** Where everything is kept. It stays open when the hub stops: whoever opened it closes it, after the hub. */
  readonly store: Store
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /** @defaultValue the random source of this machine; for spreading reconnects only */
  readonly random?: Random
  /**
   * Period of the streams' heartbeats, ms, 50 to 20,000.
   * @defaultValue 15,000
   */
  readonly heartbeatMs?: number
  /**
   * Longest time that a `wake` is held, ms, 10 to 28,000: shorter where a proxy gives up sooner.
   * @defaultValue 28,000
   */
  readonly wakeHoldMs?: number
  /**
   * Requests per second that one agent may send, and four times as many at once; past it 429.
   * @defaultValue 50
   */
  readonly agentRequestsPerS?: number
  /**
   * Requests per second that one operator's token may send, and four times as many at once; past it 429.
   * @defaultValue 1,000
   */
  readonly operatorRequestsPerS?: number
  /**
   * How old an agent's key may get before the agent is told to replace it, ms, from an hour (R-67).
   * @defaultValue no age: keys are replaced when an operator asks for it
   */
  readonly agentKeyAgeMsMax?: number
  /** @defaultValue nothing is logged */
  readonly logger?: Logger
  /**
   * What stands before every path of the hub, such as `/downlink`, when it is part of another server.
   * @defaultValue none
   */
  readonly basePath?: string
}

/** A running hub. */
export interface Hub extends AsyncDisposable {
  /** For a server of your own: `node:http`, Express, Fastify. Paths that are not the hub's go to `next`, if there is one. */
  handler: Handler
  /**
   * Starts a server. @param options - port 0 takes a free one; the host is loopback by default.
   * @returns its URL. @throws DownlinkError `already_listening` the second time, and what the system says about the port.
   */
  listen(options: { readonly port: number; readonly host?: string }): Promise<URL>
  /**
   * Stops: no new connections, streams end after a `drain` event, waits are answered with what is so, requests finish.
   * Afterwards nothing of the hub runs; requests that did not finish in time are cut.
   */
  drain(options?: { readonly deadlineMs?: number }): Promise<void>
}

/**
 * Makes a hub on an open store and starts its timers.
 * @throws RangeError for a number or `basePath` that is not allowed, StoreError if the store cannot be read.
 */
export async function createHub(options: HubOptions): Promise<Hub> {
  const settings = checkedSettings(options)
  const { store, clock, logger, heartbeatMs } = settings
  const memories = createAgentMemories()
  const changes = createMailboxChanges()
  const registry = createSessionRegistry()
  const polls = createWakePolls({ clock, holdMs: settings.wakeHoldMs, memories, changes })
  const rates = createRateLimits(settings)
  const inFlight = createInFlight(clock)
  const agents = createAgents(store, clock, settings.agentKeyAgeMsMax)
  const enrollmentKeys = createEnrollmentKeys(store, clock, agents)
  const service = createControlService({ store, clock, hubBoot: randomUUID(), memories, changes })
  const waits = createControlWaits({ clock, changes, memories, read: (id) => service.control(id) })
  const draining = { isDraining: false }
  const parts = {
    ...settings,
    memories,
    changes,
    registry,
    polls,
    rates,
    agents,
    enrollmentKeys,
    service,
    waits,
    isDraining: () => draining.isDraining,
  }
  const events = createEventsRoute(parts)
  const agentApi = createAgentApi({
    agents,
    logger,
    rates,
    memories,
    routes: [events, createSyncRoute(parts), createWakeRoute(parts), ...createAgentRoutes(parts)],
    serviceMs: () => store.serviceMs(),
    onSeen: (agentId) => rememberSeen(memories.of(agentId), clock),
    onKeyReplaced(agentId) {
      // Whoever opened these may have had the old key from somewhere else.
      registry.get(agentId)?.end()
      polls.end(agentId, { kind: 'wake', wake: true })
    },
  })
  const operatorApp = await createOperatorApp(parts)
  const expiry = await startExpiryLoop({
    store,
    clock,
    changes,
    logger,
    expire: (agentId) => service.expire(agentId),
  })
  const wheel = startHeartbeatWheel({ clock, heartbeatMs, sessions: () => registry.all() })
  const handler = createHandler({
    basePath: settings.basePath,
    guard: createRequestGuard(clock),
    onRequest(response) {
      inFlight.follow(response)
      if (draining.isDraining) response.setHeader('Connection', 'close')
    },
    agentApi,
    operatorApi: (request, response) => operatorApp.routing(request, response),
  })
  return new RunningHub({
    ...settings,
    draining,
    registry,
    polls,
    waits,
    inFlight,
    operatorApp,
    handler,
    parts: [expiry, wheel, events, polls, waits],
  })
}

interface Settings {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly heartbeatMs: number
  readonly wakeHoldMs: number
  readonly agentRequestsPerS: number
  readonly operatorRequestsPerS: number
  readonly agentKeyAgeMsMax: number
  readonly logger: Logger
  readonly basePath: string
}

interface RunningParts extends Settings {
  readonly draining: { isDraining: boolean }
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly inFlight: InFlight
  readonly waits: ControlWaits
  readonly operatorApp: FastifyInstance
  readonly handler: Handler
  readonly parts: readonly Disposable[]
}

class RunningHub implements Hub {
  readonly handler: Handler
  readonly #parts: RunningParts
  #server: Server | undefined
  #drained: Promise<void> | undefined

  constructor(parts: RunningParts) {
    this.#parts = parts
    this.handler = parts.handler
  }

  async listen({ port, host = '127.0.0.1' }: { port: number; host?: string }): Promise<URL> {
    if (this.#server !== undefined || this.#drained !== undefined) {
      throw new DownlinkError(
        'already_listening',
        'This hub listens already, or has stopped. Make another with createHub.',
        { retry: 'never' },
      )
    }
    const server = createHttpServer(this.handler)
    this.#server = server
    try {
      server.listen(port, host)
      await once(server, 'listening')
    } catch (error) {
      this.#server = undefined
      throw error
    }
    const { port: bound } = server.address() as AddressInfo
    return new URL(`http://${host.includes(':') ? `[${host}]` : host}:${bound}`)
  }

  drain({ deadlineMs = limits.DRAIN_MS_DEFAULT }: { deadlineMs?: number } = {}): Promise<void> {
    this.#drained ??= this.#stop(deadlineMs)
    return this.#drained
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  async #stop(deadlineMs: number): Promise<void> {
    const { draining, registry, polls, waits, random, inFlight, operatorApp, parts } = this.#parts
    draining.isDraining = true
    const server = this.#server
    server?.close()
    server?.closeIdleConnections()
    for (const session of registry.all()) {
      const reconnectAfterMs = Math.round(limits.RECONNECT_MS_MIN + random() * limits.DRAIN_RECONNECT_MS)
      session.end(encodeDrain(reconnectAfterMs))
    }
    polls.releaseAll()
    waits.releaseAll()
    await inFlight.idle(deadlineMs)
    inFlight.destroy()
    server?.closeAllConnections()
    for (const part of parts) part[Symbol.dispose]()
    await operatorApp.close()
  }
}

function checkedSettings(options: HubOptions): Settings {
  const {
    heartbeatMs = limits.HEARTBEAT_MS_DEFAULT,
    wakeHoldMs = limits.WAKE_HOLD_MS_MAX,
    agentRequestsPerS = limits.AGENT_REQUESTS_PER_S,
    operatorRequestsPerS = limits.OPERATOR_REQUESTS_PER_S,
    agentKeyAgeMsMax = Infinity,
    basePath = '',
    clock = systemClock,
    random = systemRandom,
    logger = silentLogger,
    store,
  } = options
  assertWithin('heartbeatMs', heartbeatMs, limits.HEARTBEAT_MS_MIN, limits.HEARTBEAT_MS_MAX)
  assertWithin('wakeHoldMs', wakeHoldMs, limits.WAKE_HOLD_MS_MIN, limits.WAKE_HOLD_MS_MAX)
  assertWithin('agentRequestsPerS', agentRequestsPerS, 1, limits.REQUESTS_PER_S_MAX)
  assertWithin('operatorRequestsPerS', operatorRequestsPerS, 1, limits.REQUESTS_PER_S_MAX)
  if (agentKeyAgeMsMax < limits.AGENT_KEY_AGE_MS_MIN) {
    throw new RangeError(`agentKeyAgeMsMax must be at least ${limits.AGENT_KEY_AGE_MS_MIN} ms, an hour.`)
  }
  if (basePath !== '' && !/^(?:\/[A-Za-z0-9._~-]+)+$/.test(basePath)) {
    throw new RangeError('basePath must be empty or like "/downlink", without a slash at its end.')
  }
  const rates = { agentRequestsPerS, operatorRequestsPerS, agentKeyAgeMsMax }
  return { store, clock, random, heartbeatMs, wakeHoldMs, ...rates, logger, basePath }
}

function assertWithin(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new RangeError(`${name} must be an integer from ${min} to ${max}; it is ${value}.`)
}
