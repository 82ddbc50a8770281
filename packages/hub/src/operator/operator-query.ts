/** Reads the texts of a query string and of the Idempotency-Key header. */
import { limits } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'

/** Items on a page unless `limit` says otherwise. */
const PAGE_DEFAULT = 100

/** `limit`, 1 to `PAGE_MAX`. @throws HubError `bad_request`. */
export function pageLimit(text: string | undefined): number {
  if (text === undefined) return PAGE_DEFAULT
  const limit = Number(text)
  if (/^\d{1,6}$/.test(text) && limit >= 1 && limit <= limits.PAGE_MAX) return limit
  throw new HubError('bad_request', `The limit must be an integer from 1 to ${limits.PAGE_MAX}.`)
}

/** `wait` as milliseconds: `10s`, `500ms` or `500`; undefined if it is absent. @throws HubError `bad_request`. */
export function waitMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(s|ms)?$/.exec(text)
  const value = match === null ? NaN : Number(match[1]) * (match[2] === 's' ? 1_000 : 1)
  if (value <= limits.WAIT_MS_MAX) return value
  throw new HubError(
    'bad_request',
    `The wait must be like 10s, 500ms or 500, and at most ${limits.WAIT_MS_MAX / 1_000}s. Wait again for longer.`,
  )
}

/** The id of an event or fact, which is its sequence in history. @throws HubError `bad_request`. */
export function sequenceOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new HubError(
    'bad_request',
    'The place to go on from must be the id of one of these. Leave it out to start anew.',
  )
}

/** A line number. @throws HubError `bad_request`. */
export function lineNumber(text: string | undefined): number {
  if (text === undefined) return 0
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new HubError('bad_request', 'The line number must be an integer from 0 up.')
}
