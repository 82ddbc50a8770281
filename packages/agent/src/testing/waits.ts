/** Promises for conditions that are looked at again whenever something happens. */
import { DownlinkError } from '@downlink/protocol'

interface Wait {
  readonly what: string
  check(): void
  reject(error: unknown): void
}

/** What tests wait for. */
export class Waits {
  readonly #waits = new Set<Wait>()

  /** Resolves once `probe` returns something. @throws the signal's reason; DownlinkError `hub_closed`. */
  until<T>(what: string, probe: () => T | undefined | false, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const onAbort = (): void => wait.reject(signal?.reason)
    const settle = (): void => {
      this.#waits.delete(wait)
      signal?.removeEventListener('abort', onAbort)
    }
    const wait: Wait = {
      what,
      check: () => {
        const value = probe()
        if (value === undefined || value === false) return
        settle()
        resolve(value)
      },
      reject: (error) => {
        settle()
        reject(error)
      },
    }
    this.#waits.add(wait)
    signal?.addEventListener('abort', onAbort, { once: true })
    wait.check()
    return promise
  }

  check(): void {
    for (const wait of this.#waits) wait.check()
  }

  /** Nothing will happen any more. */
  close(): void {
    for (const wait of this.#waits) {
      wait.reject(
        new DownlinkError(
          'hub_closed',
          `The test hub was closed and it never came to this: ${wait.what}. Await it before the hub is disposed of.`,
        ),
      )
    }
  }
}
