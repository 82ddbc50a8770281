/** Agents that the checker must find out: each leaves out one thing that a journal and its ledger promise. */
import {
  compactLedger,
  Ledger,
  openJournal,
  type Journal,
  type JournalOptions,
  type LedgerRecord,
} from '@downlink/agent/internal'
import type { Clock } from '@downlink/protocol'

/**
 * `journal-late`: it says that a record is on disk before it is. `no-intent`: it applies what it has not journalled.
 * `no-judge`: it takes every control for a new one.
 */
export const AGENT_MUTANTS = ['journal-late', 'no-intent', 'no-judge'] as const

/** How late the disk of `journal-late` is, ms: about what an operating system without fsync would lose. */
const LATE_MS = 100

/** The journal of a mutant, or a good one. */
export async function openMutantJournal(
  mutant: string,
  directory: string,
  clock: Clock,
  options: JournalOptions,
): Promise<Journal> {
  const disk = await openJournal(directory, clock, options)
  const ledger = mutant === 'no-judge' ? new CredulousLedger(disk.ledger) : new UncountedLedger(disk.ledger)
  switch (mutant) {
    case 'journal-late':
      return withAppend(disk, ledger, async (records) => {
        clock.setTimer(LATE_MS, () => void disk.append(records).catch(() => undefined))
      })
    case 'no-intent':
      return withAppend(disk, ledger, (records) =>
        disk.append(records.filter((record) => record.type !== 'intent' && record.type !== 'outcome')),
      )
    case 'no-judge':
      return withAppend(disk, ledger, (records) => disk.append(records))
    default:
      return disk
  }
}

/** Tells no count of its records, by which the hub would notice what is missing and make up for it. */
class UncountedLedger extends Ledger {
  constructor(real: Ledger) {
    super(recordsOf(real))
  }

  override report(): ReturnType<Ledger['report']> {
    return { ...super.report(), journalPosition: 0, journalOpenedAt: 0 }
  }
}

class CredulousLedger extends UncountedLedger {
  override judge(...[control, delivery]: Parameters<Ledger['judge']>): ReturnType<Ledger['judge']> {
    return { kind: 'accept', record: { type: 'intent', control, delivery } }
  }
}

function recordsOf(ledger: Ledger): readonly LedgerRecord[] {
  return compactLedger(ledger.state, 0)
}

/** What the agent believes is in `ledger`; what the next start finds is in `disk`. */
function withAppend(
  disk: Journal,
  ledger: Ledger,
  append: (records: readonly LedgerRecord[]) => Promise<void>,
): Journal {
  return {
    ledger,
    wasLost: disk.wasLost,
    fault: undefined,
    async append(records) {
      await append(records)
      for (const record of records) ledger.record(record)
    },
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  }
}
