/** What is known of a request that is being answered, and its counting once it was. */
import type { ServerResponse } from 'node:http'
import type { ErrorCode } from '@downlink/protocol'

/** Filled in by whoever answers. */
export interface RequestFacts {
  readonly api: 'agents' | 'operators'
  /** The route as it is declared, so without ids; `none` until one is found. */
  route: string
  /** Of an error reply. */
  code?: ErrorCode
  /** The agent or the operator that sent it, once that is known. */
  by?: string
}

/** Told once a request was answered, with the status, 0 if it was cut before. */
export type OnRequestEnd = (facts: RequestFacts, status: number) => void

interface Followed {
  readonly facts: RequestFacts
  readonly onEnd: OnRequestEnd | undefined
}

const NO_FACTS: RequestFacts = { api: 'operators', route: 'none' }
const known = new WeakMap<ServerResponse, Followed>()

/** The facts of the request that `response` answers; of one that nobody follows, those of nothing. */
export function factsOf(response: ServerResponse): RequestFacts {
  return known.get(response)?.facts ?? { ...NO_FACTS }
}

/** What to call when the stream ends that has taken over the connection of `response`; undefined if nobody asked to be told. */
export function streamEndOf(response: ServerResponse): (() => void) | undefined {
  const { facts, onEnd } = known.get(response) ?? {}
  const { statusCode } = response
  return facts === undefined || onEnd === undefined ? undefined : () => onEnd(facts, statusCode)
}

/** The replies of one route. */
export interface RouteReplies extends Pick<RequestFacts, 'api' | 'route'> {
  /** How many, by the first digit of their status, 1 first. */
  readonly classes: number[]
}

/** The requests of one hub, counted as they end; streams that are accepted are counted elsewhere. */
export class RequestCounts {
  /** By API and route. */
  readonly replies: Map<string, RouteReplies> = new Map()
  readonly refusals: Map<ErrorCode, number> = new Map()
  /** Refused for their rate, by what was counted. */
  readonly limited: { agent: number; operator: number; address: number } = {
    agent: 0,
    operator: 0,
    address: 0,
  }

  /** Follows a request to its end. */
  follow(response: ServerResponse, api: RequestFacts['api'], onEnd?: OnRequestEnd): void {
    const facts: RequestFacts = { api, route: 'none' }
    known.set(response, { facts, onEnd })
    response.once('close', () => {
      if (facts.code !== undefined) this.refusals.set(facts.code, (this.refusals.get(facts.code) ?? 0) + 1)
      // Cut before it was answered: there is no status.
      const status = response.headersSent ? response.statusCode : 0
      if (status !== 0) this.#count(facts, status)
      onEnd?.(facts, status)
    })
  }

  #count(facts: RequestFacts, status: number): void {
    const { api, route } = facts
    // Whether the reply of a stream ends as a reply depends on whose the server is.
    if (api === 'agents' && route === 'events' && status === 200) return
    const key = `${api} ${route}`
    const replies = this.replies.get(key) ?? { api, route, classes: [0, 0, 0, 0, 0] }
    this.replies.set(key, replies)
    const index = Math.floor(status / 100) - 1
    replies.classes[index] = (replies.classes[index] ?? 0) + 1
  }
}
