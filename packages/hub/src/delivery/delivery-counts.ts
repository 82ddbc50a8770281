/** What happens to streams, polls and syncs, counted in plain numbers where it happens. */
import { Histogram, SECONDS } from '../metrics/histogram.ts'

/** Why a stream ended. */
export const STREAM_ENDS = [
  /** The other end, or what lies between, closed it. */
  'gone',
  /** A newer stream of its agent took its place, or it was itself the older one. */
  'displaced',
  /** Its reader stood still. */
  'stalled',
  'drained',
  /** For its age. */
  'recycled',
  'revoked',
  /** A new key of its agent was used for the first time. */
  'key_replaced',
  'deregistered',
  /** What it should begin with could not be read. */
  'failed',
] as const
/** One of {@link STREAM_ENDS}. */
export type StreamEnd = (typeof STREAM_ENDS)[number]

/** The counts of one hub. */
export class DeliveryCounts {
  streamsAccepted = 0
  readonly streamsEnded: Record<StreamEnd, number> = {
    gone: 0,
    displaced: 0,
    stalled: 0,
    drained: 0,
    recycled: 0,
    revoked: 0,
    key_replaced: 0,
    deregistered: 0,
    failed: 0,
  }
  /** Whole frames, heartbeats included, that were handed to sockets, and their bytes. */
  frames = 0
  frameBytes = 0
  /** Times that a full queue collapsed into one `sync`. */
  overflows = 0
  /** Times that a reader did not keep up, so that frames had to wait. */
  stalls = 0
  pollsWoken = 0
  pollsUnwoken = 0
  readonly syncSeconds: Histogram = new Histogram(SECONDS)
}
