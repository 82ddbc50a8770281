/** The key that an agent uses, and how another takes its place. */
import { limits, parseToken, type Clock } from '@downlink/protocol'
import type { Credential } from './credential.ts'

/** What a key ring needs. */
export interface KeyRingOptions {
  readonly credential: Credential
  readonly key: string
  readonly clock: Clock
  /** Asks the hub for the key that follows; undefined if there is none. */
  readonly ask: (signal: AbortSignal) => Promise<string | undefined>
  /** This key is in use from now on. */
  readonly onReplaced: (key: string) => void
  readonly onTrouble: (error: unknown, message: string) => void
}

/** One key at a time. */
export class KeyRing {
  readonly #options: KeyRingOptions
  readonly #stopped = new AbortController()
  #key: string
  #notBeforeMs = -Infinity
  /** What is under way; it never rejects. */
  #work: Promise<void> | undefined

  constructor(options: KeyRingOptions) {
    this.#options = options
    this.#key = options.key
  }

  get key(): string {
    return this.#key
  }

  /** The hub wants another key in use. After one that could not be had or kept, none is asked for for a minute. */
  rotate(): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#notBeforeMs) return
    this.#begin(async () => {
      this.#notBeforeMs = nowMs + limits.KEY_ROTATION_RETRY_MS
      const next = await this.#options.ask(this.#stopped.signal)
      if (next === undefined || next === this.#key) return
      await this.#options.credential.write(next)
      this.#notBeforeMs = -Infinity
      this.#use(next)
    }, 'the key could not be replaced; the one in use stays valid')
  }

  /** The hub does not take the key: uses what is kept, if that is another key of the same agent. */
  readAgain(): void {
    this.#begin(async () => {
      const kept = await this.#options.credential.read()
      if (kept !== undefined && kept !== this.#key && ownerOf(kept) === ownerOf(this.#key)) this.#use(kept)
    }, 'the credential could not be read again')
  }

  /** Resolves once nothing is under way; nothing begins any more. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#work
  }

  #use(key: string): void {
    if (this.#stopped.signal.aborted) return
    this.#key = key
    this.#options.onReplaced(key)
  }

  #begin(work: () => Promise<void>, trouble: string): void {
    if (this.#work !== undefined || this.#stopped.signal.aborted) return
    this.#work = work()
      .catch((error: unknown) => {
        if (!this.#stopped.signal.aborted) this.#options.onTrouble(error, trouble)
      })
      .finally(() => {
        this.#work = undefined
      })
  }
}

function ownerOf(key: string): string | undefined {
  return parseToken('agent', key)?.owner
}
