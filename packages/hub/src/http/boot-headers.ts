/** Reads the headers by which our agents say which start of theirs speaks. */
import type { IncomingMessage } from 'node:http'
import { limits, type Boot } from '@downlink/protocol'

/** Which start of our agent speaks; undefined for an original, which sends no such headers. */
export function bootOf(request: IncomingMessage): Boot | undefined {
  const bootNonce = headerText(request, 'downlink-boot')
  if (bootNonce === undefined) return undefined
  const counter = headerText(request, 'downlink-connect') ?? ''
  return { bootNonce, connectCounter: /^\d{1,15}$/.test(counter) ? Number(counter) : 0 }
}

/** A header of ours, or undefined if it is missing, empty or too long to be one. */
export function headerText(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' && value.length > 0 && value.length <= limits.ID_CHARS_MAX
    ? value
    : undefined
}
