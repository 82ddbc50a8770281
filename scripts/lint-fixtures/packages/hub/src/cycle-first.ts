/** Bad: one half of an import cycle. */
import { second } from './cycle-second.ts' // expect: import/no-cycle
export const first = (): number => second()
