/** One HTTP exchange with a hub as `e2e/fixtures/record-exchanges.js` writes it down, a line of JSON each. */
export interface Exchange {
  /** Absent, like all of the request, where what was sent could not be read as a request. */
  readonly method?: string
  readonly url?: string
  /** By their names in lower case; of `authorization` the scheme only. */
  readonly requestHeaders?: Readonly<Record<string, string>>
  /** Absent where it did not come to its end before the reply, or is longer than what is kept. */
  readonly requestBody?: string
  readonly status: number
  readonly replyHeaders: Readonly<Record<string, string>>
  /** Absent for a stream, and where it did not come to its end or is longer than what is kept. */
  readonly replyBody?: string
}
