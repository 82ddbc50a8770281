/** Where both ends say what they do: structured, without secrets, and never in a flood. */
import type { Clock } from './clock.ts'
import { LOG_LINES_KNOWN_MAX, LOG_REPEATS_MAX, LOG_WINDOW_MS } from './limits.ts'

/** Takes structured fields and a sentence, as pino does; neither ever holds a credential. */
export type Logger = Readonly<
  Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>
>

/** Says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

const REDACTED = '[credential]'
/** Names of fields whose values nobody needs to see. */
const SECRET_NAME =
  /authorization|cookie|credential|password|secret|token|(?:^|_|api|auth|agent|enrollment)key$/i
/** Tokens of Downlink, and whatever stands behind `Bearer`. */
const SECRET_TEXT = /\bdl[aeo]\.[\w.-]{8,}|\bBearer\s+[\x21-\x7e]+/g
/** Deep enough for an error with causes; what is below is left out. */
const DEPTH_MAX = 6

interface Line {
  windowStartMs: number
  count: number
  suppressed: number
}

/**
 * Hands lines on to the application's logger: secrets taken out, and of the same line at most
 * `LOG_REPEATS_MAX` in `LOG_WINDOW_MS`; the next one after that says in `repeated` how many were left out. What the
 * logger throws is dropped: there is nobody left to tell.
 */
export class BoundedLogger {
  readonly #target: Logger
  readonly #clock: Clock
  readonly #secrets = new Set<string>()
  /** By level and sentence, the least recently used first. */
  readonly #lines = new Map<string, Line>()

  constructor(target: Logger, clock: Clock) {
    this.#target = target
    this.#clock = clock
  }

  /** Takes this text out of every line from now on. */
  hide(secret: string): void {
    this.#secrets.add(secret)
  }

  log(level: keyof Logger, fields: object, message: string): void {
    if (this.#target === silentLogger) return
    const repeated = this.#admit(`${level} ${message}`)
    if (repeated === undefined) return
    this.#write(level, repeated === 0 ? fields : { ...fields, repeated }, message)
  }

  /** Hands on every line, however often it comes: for a record of each request, which somebody asked for. */
  logEach(level: keyof Logger, fields: object, message: string): void {
    if (this.#target !== silentLogger) this.#write(level, fields, message)
  }

  #write(level: keyof Logger, fields: object, message: string): void {
    try {
      this.#target[level](this.#redact(fields, 0) as object, this.#redactText(message))
    } catch {
      // There is nobody left to tell.
    }
  }

  /** How many of the same were left out before this one, or undefined if this one is left out, too. */
  #admit(key: string): number | undefined {
    const nowMs = this.#clock.monotonicMs()
    const line = this.#lines.get(key) ?? { windowStartMs: nowMs, count: 0, suppressed: 0 }
    this.#lines.delete(key)
    this.#lines.set(key, line)
    const oldest = this.#lines.keys().next()
    if (this.#lines.size > LOG_LINES_KNOWN_MAX && oldest.done !== true) this.#lines.delete(oldest.value)
    if (nowMs - line.windowStartMs >= LOG_WINDOW_MS) {
      line.windowStartMs = nowMs
      line.count = 0
    }
    line.count++
    if (line.count > LOG_REPEATS_MAX) {
      line.suppressed++
      return undefined
    }
    const { suppressed } = line
    line.suppressed = 0
    return suppressed
  }

  #redact(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#redactText(value)
    if (typeof value !== 'object' || value === null) return value
    if (depth >= DEPTH_MAX) return '…'
    if (value instanceof Error) return this.#redactError(value, depth)
    if (value instanceof URL) return this.#redactUrl(value)
    if (Array.isArray(value)) return value.map((item) => this.#redact(item, depth + 1))
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) return value
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [
        name,
        SECRET_NAME.test(name) && item !== undefined ? REDACTED : this.#redact(item, depth + 1),
      ]),
    )
  }

  /** The URL itself, unless it holds what must not be seen. */
  #redactUrl(url: URL): unknown {
    if (url.username !== '' || url.password !== '') return url.host
    const clean = this.#redactText(url.href)
    return clean === url.href ? url : clean
  }

  /** The error itself, unless it holds what must not be seen. */
  #redactError(error: Error, depth: number): unknown {
    const cause = error.cause === undefined ? undefined : this.#redact(error.cause, depth + 1)
    const body = 'body' in error && typeof error.body === 'string' ? error.body : ''
    const texts = [error.message, error.stack ?? '', body]
    if (cause === error.cause && texts.every((text) => this.#redactText(text) === text)) return error
    const { name, message, stack } = error
    return {
      name,
      message: this.#redactText(message),
      ...('code' in error ? { code: error.code } : {}),
      ...(stack === undefined ? {} : { stack: this.#redactText(stack) }),
      ...(cause === undefined ? {} : { cause }),
    }
  }

  #redactText(text: string): string {
    let clean = text.replace(SECRET_TEXT, REDACTED)
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, REDACTED)
    return clean
  }
}
