/** What an agent asks its hub beside syncs, and what it is answered. */
import { field, limits, stringField, type Json, type JsonObject } from '@downlink/protocol'
import { unusableReply } from './http/http-failure.ts'
import type { PreparedRequest } from './http/request-context.ts'

/** When to give up a request before its deadline. */
export interface RequestOptions {
  readonly signal?: AbortSignal
}

/** What an agent tells of itself. */
export interface RegisterRequest {
  readonly agentId: string
  readonly version?: string
  readonly name?: string
  readonly os?: string
  readonly arch?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** A key in the reply replaces the one in use, and must be persisted before it is used. */
export interface RegisterReply {
  readonly agentKey?: string
  readonly user?: Json
  readonly features?: Json
}

/** An enrollment key to be exchanged for a credential. */
export interface KeyExchangeRequest {
  readonly authKey: string
  readonly agentId: string
  readonly hostname?: string
  readonly platform?: string
  /** The same id within ten minutes mints a replacement, so that a lost reply does not burn a single-use key. */
  readonly exchangeId?: string
}

/** The credential that an enrollment key was exchanged for. */
export interface KeyExchangeReply {
  readonly apiKey: string
  readonly userId?: string
  readonly apiUrl?: string
}

const KEY_CHARS_MAX = 4_096

/** Reads the reply to `register`. */
export function registerReplyOf(reply: JsonObject): RegisterReply {
  const agentKey = stringField(reply, 'agentKey', KEY_CHARS_MAX)
  const user = field(reply, 'user')
  const features = field(reply, 'features')
  return {
    ...(agentKey === undefined ? {} : { agentKey }),
    ...(user === undefined ? {} : { user }),
    ...(features === undefined ? {} : { features }),
  }
}

/**
 * Reads the reply to an exchange.
 * @throws HttpError `bad_reply` if it holds no key.
 */
export function keyExchangeReplyOf(prepared: PreparedRequest, reply: JsonObject): KeyExchangeReply {
  const apiKey = stringField(reply, 'apiKey', KEY_CHARS_MAX)
  if (apiKey === undefined) {
    throw unusableReply(prepared, 200, 'bad_reply', 'it holds no apiKey. Check that a hub answers there.')
  }
  const userId = stringField(reply, 'userId', limits.ID_CHARS_MAX)
  const apiUrl = stringField(reply, 'apiUrl', limits.MESSAGE_CHARS_MAX)
  return {
    apiKey,
    ...(userId === undefined ? {} : { userId }),
    ...(apiUrl === undefined ? {} : { apiUrl }),
  }
}
