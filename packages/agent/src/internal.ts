/** For this workspace's own simulation and kill tests; no promise of stability. */
export { Ledger } from './controls/ledger.ts'
export type { Interrupted, LedgerReport, Verdict } from './controls/ledger.ts'
export type { IntendedState, LedgerRecord, Outcome } from './controls/ledger-records.ts'
