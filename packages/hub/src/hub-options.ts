/** What a hub is told: its options, their defaults and bounds. */
import { limits, systemClock, systemRandom, type Clock, type Random } from '@downlink/protocol'
import { createIsProxy, type IsProxy } from './http/address.ts'
import { createHubLogger, silentLogger, type HubLogger, type Logger } from './logger.ts'
import type { OnSync } from './delivery/own-sync.ts'
import type { AuthenticateOperator } from './operator/operator-authentication.ts'
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
   * How old an agent's key may get before the agent is told to replace it, ms, from an hour.
   * @defaultValue no age: keys are replaced when an operator asks for it
   */
  readonly agentKeyAgeMsMax?: number
  /**
   * Streams that this hub accepts per second: half of it is handed out to agents that come back after a loss, or are sent
   * away by a drain.
   * @defaultValue 1,000
   */
  readonly acceptPerS?: number
  /**
   * Oldest that a stream gets, ms, from two minutes to a week: each is ended in order at a random age from half of it on,
   * and its agent comes right back. If many are due at once some get older, by a quarter at most. `Infinity` for never.
   * @defaultValue an hour
   */
  readonly streamAgeMsMax?: number
  /**
   * How long the audit trail is kept, and how far back the feed can be resumed, ms, an hour at least; `Infinity` for ever.
   * @defaultValue 90 days
   */
  readonly historyMs?: number
  /**
   * Proxies before the hub, such as `10.0.0.7` or `10.0.0.0/8`: their connections and key exchanges are not limited as those of
   * one address. This machine is one always.
   * @defaultValue none
   */
  readonly proxies?: readonly string[]
  /**
   * Lets whoever can reach the hub read `/metrics`: they tell no agent's or operator's name, but how much there is to do.
   * @defaultValue false: it needs a token with the scope `read`
   */
  readonly areMetricsOpen?: boolean
  /**
   * Takes what an operator of the hub should know: without secrets, and of the same line a few a minute.
   * @defaultValue nothing is logged
   */
  readonly logger?: Logger
  /**
   * Logs each request that was answered, at `info`: its API, method, route, status, code, sender, address and time.
   * @defaultValue false
   */
  readonly isAccessLogged?: boolean
  /**
   * What stands before every path of the hub, such as `/downlink`, when it is part of another server.
   * @defaultValue none
   */
  readonly basePath?: string
  /**
   * Your own authentication of operators, by cookie, header or whatever a request carries; its body is not in it. Return who
   * it is, with no more scopes than they have; undefined hands on to the tokens of `createOperatorToken`, if there are any.
   * Rates and the audit trail go by the name. What throws, gives something else, or takes more than 5 s (`request.signal`
   * aborts then) lets nobody in: 503 `authentication_unavailable`.
   */
  readonly authenticateOperator?: AuthenticateOperator
  /**
   * Adds content of your own to the reply to every sync that the hub has taken in. The hub's own controls never depend
   * on it: what throws, takes more than 2 s (`signal` aborts then), is larger than 256 KiB as JSON, or has no room in this
   * reply, is left out, and the log says so. A reply may be lost: return a control or task again until `body.tasks` shows it.
   */
  readonly onSync?: OnSync
}

/** How a hub stops. */
export interface DrainHubOptions {
  /**
   * Time over which streams end, ms.
   * @defaultValue what half of `acceptPerS` needs to take them all again, at most 5,000
   */
  readonly drainMs?: number
  /**
   * Expected time until this hub is there again, ms; agents come back after it. 0 if other hubs take its agents at once.
   * @defaultValue 2,000
   */
  readonly restartMs?: number
  /** For all of it, ms; what has not finished then is cut. @defaultValue `drainMs` and 5,000 more */
  readonly deadlineMs?: number
  /** Cuts what is left when it aborts. */
  readonly signal?: AbortSignal
}

/** The options with their defaults. */
export interface HubSettings {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly heartbeatMs: number
  readonly wakeHoldMs: number
  readonly agentRequestsPerS: number
  readonly operatorRequestsPerS: number
  readonly agentKeyAgeMsMax: number
  readonly acceptPerS: number
  readonly streamAgeMsMax: number
  readonly historyMs: number
  readonly isProxy: IsProxy
  readonly areMetricsOpen: boolean
  readonly logger: HubLogger
  readonly isAccessLogged: boolean
  readonly basePath: string
  readonly authenticateOperator: AuthenticateOperator | undefined
  readonly onSync: OnSync | undefined
}

/** @throws RangeError for a number or `basePath` that is not allowed. */
export function checkedSettings(options: HubOptions): HubSettings {
  const {
    heartbeatMs = limits.HEARTBEAT_MS_DEFAULT,
    wakeHoldMs = limits.WAKE_HOLD_MS_MAX,
    agentRequestsPerS = limits.AGENT_REQUESTS_PER_S,
    operatorRequestsPerS = limits.OPERATOR_REQUESTS_PER_S,
    agentKeyAgeMsMax = Infinity,
    acceptPerS = limits.ACCEPT_PER_S_DEFAULT,
    streamAgeMsMax = limits.STREAM_AGE_MS_DEFAULT,
    historyMs = limits.HISTORY_MS_DEFAULT,
    proxies = [],
    areMetricsOpen = false,
    isAccessLogged = false,
    basePath = '',
    clock = systemClock,
    random = systemRandom,
    logger: target = silentLogger,
    authenticateOperator,
    onSync,
    store,
  } = options
  assertWithin('heartbeatMs', heartbeatMs, limits.HEARTBEAT_MS_MIN, limits.HEARTBEAT_MS_MAX)
  assertWithin('wakeHoldMs', wakeHoldMs, limits.WAKE_HOLD_MS_MIN, limits.WAKE_HOLD_MS_MAX)
  assertWithin('agentRequestsPerS', agentRequestsPerS, 1, limits.REQUESTS_PER_S_MAX)
  assertWithin('operatorRequestsPerS', operatorRequestsPerS, 1, limits.REQUESTS_PER_S_MAX)
  if (agentKeyAgeMsMax < limits.AGENT_KEY_AGE_MS_MIN) {
    throw new RangeError(`agentKeyAgeMsMax must be at least ${limits.AGENT_KEY_AGE_MS_MIN} ms, an hour.`)
  }
  assertWithin('acceptPerS', acceptPerS, 1, limits.REQUESTS_PER_S_MAX)
  if (streamAgeMsMax !== Infinity) {
    assertWithin('streamAgeMsMax', streamAgeMsMax, limits.STREAM_AGE_MS_MIN, limits.STREAM_AGE_MS_MAX)
  }
  if (basePath !== '' && !/^(?:\/[A-Za-z0-9._~-]+)+$/.test(basePath)) {
    throw new RangeError('basePath must be empty or like "/downlink", without a slash at its end.')
  }
  if (!(historyMs >= limits.HISTORY_MS_MIN)) {
    throw new RangeError(`historyMs must be at least ${limits.HISTORY_MS_MIN} ms, an hour.`)
  }
  const rates = { agentRequestsPerS, operatorRequestsPerS, acceptPerS }
  const ages = { agentKeyAgeMsMax, streamAgeMsMax, historyMs }
  assertWithin('the number of proxies', proxies.length, 0, limits.PROXIES_MAX)
  const isProxy = createIsProxy(proxies)
  const logger = createHubLogger(target, clock)
  const hooks = { authenticateOperator, onSync }
  const times = { heartbeatMs, wakeHoldMs, ...ages }
  return {
    store,
    clock,
    random,
    ...times,
    ...rates,
    ...hooks,
    isProxy,
    areMetricsOpen,
    isAccessLogged,
    logger,
    basePath,
  }
}

function assertWithin(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new RangeError(`${name} must be an integer from ${min} to ${max}; it is ${value}.`)
}
