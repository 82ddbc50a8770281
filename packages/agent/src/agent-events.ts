/** The agent's typed events: a listener that throws is logged and harms nobody. */
import type { BoundedLogger, Logger } from '@downlink/protocol'
import type { AgentEvent } from './options.ts'

type Listener = (event: AgentEvent) => unknown

/** Hands out events to listeners; keeps none. */
export class AgentEvents {
  readonly #listeners = new Set<{ readonly type: AgentEvent['type']; readonly call: Listener }>()
  readonly #logger: BoundedLogger

  constructor(logger: BoundedLogger) {
    this.#logger = logger
  }

  on<K extends AgentEvent['type']>(
    type: K,
    listener: (event: Extract<AgentEvent, { type: K }>) => void,
    signal: AbortSignal | undefined,
  ): Disposable {
    const isWanted = (event: AgentEvent): event is Extract<AgentEvent, { type: K }> => event.type === type
    const entry = {
      type,
      // It may be an async function, whose failure must not end the daemon either.
      call: (event: AgentEvent): unknown => (isWanted(event) ? listener(event) : undefined),
    }
    const remove = (): void => {
      this.#listeners.delete(entry)
      signal?.removeEventListener('abort', remove)
    }
    if (signal?.aborted !== true) {
      this.#listeners.add(entry)
      signal?.addEventListener('abort', remove, { once: true })
    }
    return { [Symbol.dispose]: remove }
  }

  emit(event: AgentEvent): void {
    const failed = (error: unknown): void =>
      this.log('error', { error }, `a listener of ${event.type} events threw`)
    for (const { call } of this.#listeners) {
      try {
        const returned = call(event)
        if (returned instanceof Promise) returned.catch(failed)
      } catch (error) {
        failed(error)
      }
    }
  }

  log(level: keyof Logger, fields: object, message: string): void {
    this.#logger.log(level, fields, message)
  }

  /** Keeps this text out of the log. */
  hide(secret: string): void {
    this.#logger.hide(secret)
  }
}
