/** Where the hub reports what an operator of the hub should know; never tokens, keys or bodies. */

/** One function per level: structured fields, then a sentence. Compatible with pino and console wrappers. */
export type Logger = Readonly<
  Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>
>

const nothing = (): void => {}

/** Discards everything. */
export const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
