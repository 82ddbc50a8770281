/** Bad: the other half; a cycle of types alone counts as well. */
import type { first } from './cycle-first.ts' // expect: import/no-cycle
export const second = (): number => 1
export type First = typeof first
