/** Where the hub reports what an operator of the hub should know; never tokens, keys or bodies. */
import { BoundedLogger, type Clock, type Logger } from '@downlink/protocol'

export { silentLogger } from '@downlink/protocol'
export type { Logger } from '@downlink/protocol'

/** A logger that lets neither a secret nor a flood through. */
export interface HubLogger extends Logger {
  /** A record of each request, for who asked for it: however often it comes. */
  readonly access: (fields: object) => void
}

/** Hands on to the application's logger, within bounds. */
export function createHubLogger(target: Logger, clock: Clock): HubLogger {
  const bounded = new BoundedLogger(target, clock)
  return {
    debug: (fields, message) => bounded.log('debug', fields, message),
    info: (fields, message) => bounded.log('info', fields, message),
    warn: (fields, message) => bounded.log('warn', fields, message),
    error: (fields, message) => bounded.log('error', fields, message),
    access: (fields) => bounded.logEach('info', fields, 'A request was answered'),
  }
}
