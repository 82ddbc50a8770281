/** What hears a decoded event stream. */

/** Hears what a stream says, in its order, during `push`. What it throws comes out of `push` and ends the decoder. */
export interface SseSink {
  /**
   * An event with at least one `data` line.
   * @param name - `message` if the event names none.
   * @param data - its `data` lines joined by LF; may be empty.
   * @param lastEventId - the last `id` of the stream so far, or empty.
   */
  event(name: string, data: string, lastEventId: string): void
  /** A comment, as soon as its line has ended, even in the middle of an event. */
  comment(text: string): void
  /** A `retry` of digits only, as soon as its line has ended; at most `SSE_RETRY_MS_MAX`. */
  retry?(retryMs: number): void
}
