/** How much of a suite that measures a whole fleet is run. */
import type { Effort } from '../codec.bench.ts'

/** As {@link Effort}, with what the suite `hold` may be told. */
export interface FleetEffort extends Effort {
  readonly agents?: number
  readonly minutes?: number
}
