/** Asks the application what it adds to the reply to a sync, so that whatever goes wrong there costs its own part only. */
import { limits, type Clock, type Json, type JsonObject, type NewTask } from '@downlink/protocol'
import type { FittedAnswer } from '../controls/sync-reply.ts'
import { callHook } from '../http/application-hook.ts'
import type { Logger } from '../logger.ts'
import { fitOwnContent, readOwnContent } from './own-content.ts'

/** A sync that the hub has taken in, for `HubOptions.onSync`. */
export interface OwnSyncRequest {
  readonly agentId: string
  /** As the agent sent it, with whatever it says beside what the hub reads. */
  readonly body: JsonObject
  /** Aborts when the time is up. */
  readonly signal: AbortSignal
}

/** A control of the application's own: without an id, it is applied whenever it comes. */
export interface OwnControl {
  readonly action: string
  readonly taskId: string
  readonly args?: Json
}

/** What the application adds to the reply. */
export interface OwnSyncContent {
  readonly controls?: readonly OwnControl[]
  readonly newTasks?: readonly NewTask[]
  /** Further members of the reply; those of the hub's own names are left out. */
  readonly extra?: Readonly<Record<string, Json>>
}

/** See `HubOptions.onSync`. */
export type OnSync = (sync: OwnSyncRequest) => Promise<OwnSyncContent | undefined>

/** What fits into the reply beside the hub's answer; undefined if there is nothing. It never throws. */
export type OwnSync = (
  agentId: string,
  body: JsonObject,
  answer: FittedAnswer,
) => Promise<ReturnType<typeof fitOwnContent> | undefined>

/** Parts that are left out, and told of one by one in one line of the log. */
const FAULTS_LOGGED_MAX = 8

/** Makes the function; without `onSync` there is never anything. */
export function createOwnSync(options: {
  readonly clock: Clock
  readonly logger: Logger
  readonly onSync: OnSync | undefined
}): OwnSync {
  const { clock, logger, onSync } = options
  return async (agentId, body, answer) => {
    if (onSync === undefined) return undefined
    try {
      const value = await callHook(clock, limits.OWN_SYNC_MS_MAX, (signal) =>
        onSync({ agentId, body, signal }),
      )
      const faults: string[] = []
      const own = readOwnContent(
        value,
        (fault) => void (faults.length < FAULTS_LOGGED_MAX && faults.push(fault)),
      )
      if (faults.length > 0) {
        logger.warn({ agentId, faults }, 'Parts of what onSync returned cannot be sent and were left out')
      }
      return fitOwnContent(answer, own)
    } catch (error) {
      logger.warn({ agentId, error }, 'onSync failed; the sync was answered without its content')
      return undefined
    }
  }
}
