/** The agent's typed events: a listener that throws is logged and harms nobody. */
import type { Logger } from './logger.ts'
import type { AgentEvent } from './options.ts'

type Listener = (event: AgentEvent) => void

/** Hands out events to listeners; keeps none. */
export class AgentEvents {
  readonly #listeners = new Set<{ readonly type: AgentEvent['type']; readonly call: Listener }>()
  readonly #logger: Logger

  constructor(logger: Logger) {
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
      call: (event: AgentEvent): void => {
        if (isWanted(event)) listener(event)
      },
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
    for (const { call } of this.#listeners) {
      try {
        call(event)
      } catch (error) {
        this.log('error', { error }, `a listener of ${event.type} events threw`)
      }
    }
  }

  log(level: keyof Logger, fields: object, message: string): void {
    this.#logger[level](fields, message)
  }
}
