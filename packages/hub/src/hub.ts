/** The hub: puts stores, controls, streams and both APIs together, and takes them apart again. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DownlinkError, limits } from '@downlink/protocol'
import type { FastifyInstance } from 'fastify'
import { createAgentMemories, rememberSeen } from './controls/agent-memory.ts'
import { ControlCounts } from './controls/control-counts.ts'
import { createControlWaits, type ControlWaits } from './controls/control-waits.ts'
import { startExpiryLoop } from './controls/expiry-loop.ts'
import { createMailboxChanges } from './controls/mailbox-changes.ts'
import { createControlService } from './controls/service.ts'
import { DeliveryCounts } from './delivery/delivery-counts.ts'
import { drainStreams } from './delivery/drain.ts'
import { createEventsRoute } from './delivery/events-route.ts'
import { HeartbeatTimes } from './delivery/heartbeat-times.ts'
import { startHeartbeatWheel } from './delivery/heartbeat-wheel.ts'
import { reconnectWindowMs } from './delivery/reconnect-window.ts'
import { createSessionRegistry, type SessionRegistry } from './delivery/session-registry.ts'
import { createOwnSync } from './delivery/own-sync.ts'
import { startStreamRecycling } from './delivery/stream-recycling.ts'
import { createSyncRoute } from './delivery/sync-route.ts'
import { createNudges } from './delivery/nudges.ts'
import { createWakePolls, type WakePolls } from './delivery/wake-polls.ts'
import { createWakeRoute } from './delivery/wake-route.ts'
import { createAgentRoutes } from './enrollment/agent-routes.ts'
import { createAgents } from './enrollment/agents.ts'
import { createCutRevocations } from './enrollment/cut-revocations.ts'
import { createEnrollmentKeys } from './enrollment/enrollment-keys.ts'
import { checkedSettings, type DrainHubOptions, type HubOptions, type HubSettings } from './hub-options.ts'
import { createFeed, type Feed } from './feed/feed.ts'
import { createHandler, createHttpServer, createStreamRequests, type Handler } from './http-server.ts'
import { accessLog } from './http/access-log.ts'
import { createAgentApi } from './http/agent-api.ts'
import { createInProcessFetch, type Fetch } from './http/in-process-fetch.ts'
import type { IsStreamRequest } from './http/hand-over.ts'
import { createInFlight, type InFlight } from './http/in-flight.ts'
import { createRateLimits } from './http/rate-limits.ts'
import { RequestCounts } from './http/request-facts.ts'
import { createRequestGuard } from './http/request-guard.ts'
import { hubMetrics } from './metrics/hub-metrics.ts'
import { startProcessMetrics } from './metrics/process-metrics.ts'
import { createOperatorTokens } from './operator/operator-tokens.ts'
import { createOperatorApp } from './operator/operator-app.ts'
import { createPresenceNotes } from './operator/presence-notes.ts'
import { feedRecords } from './operator/read-agent.ts'
import { startRetentionLoop } from './store/retention-loop.ts'

/** A running hub. */
export interface Hub extends AsyncDisposable {
  /** For a server of your own: `node:http`, Express, Fastify. Paths that are not the hub's go to `next`, if there is one. */
  handler: Handler
  /**
   * For frameworks whose handlers are given web requests, such as Next and Hono: everything but the agents' stream, which is
   * answered with 501 `not_supported_here`. Replies stream as they are read. It knows no addresses, so all callers without a
   * right credential are limited as one. It works without `this`.
   * @throws the request's abort reason, and Error if the hub stops before it has answered.
   */
  fetch: Fetch
  /**
   * Starts a server. @param options - port 0 takes a free one; the host is loopback by default.
   * @returns its URL. @throws DownlinkError `already_listening` the second time, and what the system says about the port.
   */
  listen(options: { readonly port: number; readonly host?: string }): Promise<URL>
  /**
   * Stops. First every stream is told when to come back, and ends at a slot of its own; new streams and polls are
   * refused meanwhile, everything else is served. Then no connection is taken any more, waits are answered with what is
   * so, and requests finish. Afterwards nothing of the hub runs.
   */
  drain(options?: DrainHubOptions): Promise<void>
}

/**
 * Makes a hub on an open store and starts its timers.
 * @throws RangeError for a number or `basePath` that is not allowed, StoreError if the store cannot be read.
 */
export async function createHub(options: HubOptions): Promise<Hub> {
  const settings = checkedSettings(options)
  const { store, clock, logger, heartbeatMs } = settings
  const memories = createAgentMemories()
  const counts = new DeliveryCounts()
  const controlCounts = new ControlCounts()
  const requests = new RequestCounts()
  const changes = createMailboxChanges()
  const registry = createSessionRegistry()
  const polls = createWakePolls({ clock, holdMs: settings.wakeHoldMs, memories, changes, counts })
  const rates = createRateLimits({ ...settings, requests })
  const inFlight = createInFlight(clock)
  const guard = createRequestGuard(clock)
  const agents = createAgents(store, clock, settings.agentKeyAgeMsMax)
  const enrollmentKeys = createEnrollmentKeys(store, clock, agents)
  const operatorTokens = createOperatorTokens(store, clock, logger)
  const service = createControlService({
    store,
    clock,
    hubBoot: randomUUID(),
    memories,
    changes,
    counts: controlCounts,
  })
  const waits = createControlWaits({ clock, changes, memories, read: (id) => service.control(id) })
  const times = new HeartbeatTimes()
  const draining: Draining = { backAtMs: undefined }
  const windowMs = (): number => reconnectWindowMs(registry.size + polls.size, settings.acceptPerS)
  // Whoever opened these may have had the old key from somewhere else.
  const endLinks = (agentId: string): void => {
    registry.get(agentId)?.end('key_replaced')
    polls.end(agentId, { kind: 'wake', wake: true })
  }
  const nudges = createNudges({ clock, random: settings.random, registry, polls, memories })
  const presence = createPresenceNotes({ clock, memories, registry, polls, heartbeatMs })
  const parts = {
    ...settings,
    nudges,
    presence,
    memories,
    changes,
    counts,
    controlCounts,
    requests,
    inFlight,
    registry,
    polls,
    rates,
    agents,
    enrollmentKeys,
    operatorTokens,
    service,
    waits,
    times,
    windowMs,
    endLinks,
    isDraining: () => draining.backAtMs !== undefined,
    drainingMs: () =>
      draining.backAtMs === undefined ? undefined : Math.max(0, draining.backAtMs - clock.monotonicMs()),
  }
  const events = createEventsRoute(parts)
  const agentApi = createAgentApi({
    agents,
    logger,
    rates,
    memories,
    routes: [
      events,
      createSyncRoute({ ...parts, ownSync: createOwnSync(settings) }),
      createWakeRoute(parts),
      ...createAgentRoutes(parts),
    ],
    serviceMs: () => store.serviceMs(),
    onSeen(agentId) {
      const memory = memories.of(agentId)
      presence.note(agentId)
      rememberSeen(memory, clock)
      presence.note(agentId)
    },
    onHandled: (agentId) => presence.note(agentId),
    onKeyReplaced: endLinks,
  })
  const feed = createFeed({
    ...parts,
    records: feedRecords(parts),
    bornAt: await store.lastHistorySequence(),
  })
  const processMetrics = startProcessMetrics()
  const metrics = [...hubMetrics({ ...parts, feed }), ...processMetrics.metrics]
  const operatorApp = await createOperatorApp({ ...parts, feed, metrics })
  const cutRevocations = createCutRevocations(parts)
  const expiry = await startExpiryLoop({
    store,
    clock,
    changes,
    logger,
    expire: (agentId) => service.expire(agentId),
    onMailbox(mailbox) {
      controlCounts.take(mailbox)
      cutRevocations.take(mailbox)
    },
  })
  void cutRevocations.finish()
  const retention = startRetentionLoop(parts)
  const wheel = startHeartbeatWheel({ clock, heartbeatMs, sessions: () => registry.all(), windowMs, times })
  const recycling = startStreamRecycling(parts)
  const handler = createHandler({
    basePath: settings.basePath,
    guard,
    follow(request, response, api) {
      requests.follow(response, api, settings.isAccessLogged ? accessLog(settings, request) : undefined)
    },
    onRequest(response) {
      inFlight.follow(response)
      if (draining.backAtMs !== undefined) response.setHeader('Connection', 'close')
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
    feed,
    inFlight,
    operatorApp,
    handler,
    fetch: createInProcessFetch(createHttpServer(handler), settings.basePath),
    isStream: createStreamRequests(settings.basePath, guard),
    requests,
    windowMs,
    parts: [processMetrics, expiry, retention, wheel, recycling, events, nudges, polls, waits],
  })
}

/** Since a hub stops: when another one is expected at its address, by the monotonic clock. */
interface Draining {
  backAtMs: number | undefined
}

interface RunningParts extends HubSettings {
  readonly draining: Draining
  readonly windowMs: () => number
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly inFlight: InFlight
  readonly requests: RequestCounts
  readonly waits: ControlWaits
  readonly feed: Feed
  readonly operatorApp: FastifyInstance
  readonly handler: Handler
  readonly fetch: Fetch
  readonly isStream: IsStreamRequest
  readonly parts: readonly Disposable[]
}

class RunningHub implements Hub {
  readonly handler: Handler
  readonly fetch: Fetch
  readonly #parts: RunningParts
  #server: Server | undefined
  #drained: Promise<void> | undefined

  constructor(parts: RunningParts) {
    this.#parts = parts
    this.handler = parts.handler
    this.fetch = parts.fetch
  }

  async listen({ port, host = '127.0.0.1' }: { port: number; host?: string }): Promise<URL> {
    if (this.#server !== undefined || this.#drained !== undefined) {
      throw new DownlinkError(
        'already_listening',
        'This hub listens already, or has stopped. Make another with createHub.',
        { retry: 'never' },
      )
    }
    const server = createHttpServer(this.handler, {
      isStream: this.#parts.isStream,
      isProxy: this.#parts.isProxy,
      onRefused: (address) => {
        this.#parts.requests.limited.address++
        this.#parts.logger.warn({ address }, 'An address has too many connections; more of them are refused')
      },
    })
    this.#server = server
    try {
      server.listen({ port, host, backlog: limits.LISTEN_BACKLOG })
      await once(server, 'listening')
    } catch (error) {
      this.#server = undefined
      throw error
    }
    const { port: bound } = server.address() as AddressInfo
    const url = new URL(`http://${host.includes(':') ? `[${host}]` : host}:${bound}`)
    this.#parts.logger.info({ url: url.href }, 'The hub listens')
    return url
  }

  drain(options: DrainHubOptions = {}): Promise<void> {
    this.#drained ??= this.#stop(options)
    return this.#drained
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  async #stop(options: DrainHubOptions): Promise<void> {
    const {
      clock,
      logger,
      draining,
      registry,
      polls,
      waits,
      feed,
      inFlight,
      operatorApp,
      parts,
      acceptPerS,
    } = this.#parts
    const { restartMs = limits.DRAIN_RESTART_MS, signal = new AbortController().signal } = options
    const ownMs = (2_000 * (registry.size + polls.size)) / acceptPerS
    const wantedMs = options.drainMs ?? Math.min(limits.DRAIN_SPREAD_MS_DEFAULT, ownMs)
    const deadlineMs = options.deadlineMs ?? wantedMs + limits.DRAIN_MS_DEFAULT
    const drainMs = Math.min(wantedMs, deadlineMs)
    const endMs = clock.monotonicMs() + deadlineMs
    // Where others take its agents at once, there is nothing to wait for.
    draining.backAtMs = clock.monotonicMs() + (restartMs === 0 ? 0 : drainMs + restartMs)
    logger.info({ streams: registry.size, polls: polls.size, drainMs, deadlineMs }, 'The hub stops')
    await drainStreams(this.#parts, { drainMs, restartMs, windowMs: this.#parts.windowMs() }, signal)
    const server = this.#server
    server?.close()
    server?.closeIdleConnections()
    waits.releaseAll()
    feed[Symbol.dispose]()
    await inFlight.idle(Math.max(0, endMs - clock.monotonicMs()), signal)
    const cut = inFlight.size
    inFlight.destroy()
    server?.closeAllConnections()
    for (const part of parts) part[Symbol.dispose]()
    await operatorApp.close()
    logger.info({ cut }, 'The hub has stopped')
  }
}
