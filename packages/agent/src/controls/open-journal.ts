/** Opens the journal of a state directory, whatever a crash, a person or a bad disk has left there. */
import { limits, type Clock, type DownlinkError } from '@downlink/protocol'
import { join } from 'node:path'
import { FileJournal } from './file-journal.ts'
import { mayPass, realDisk, type JournalDisk } from './journal-disk.ts'
import { readRecords, salvageTasks } from './journal-lines.ts'
import { newJournalRecord, type Journal } from './journal.ts'
import type { LedgerTask } from './ledger-state.ts'
import { Ledger } from './ledger.ts'

/** How a journal is opened. */
export interface JournalOptions {
  /** @defaultValue the disk of this machine */
  readonly disk?: JournalDisk
  /** @defaultValue `JOURNAL_BYTES_MAX` */
  readonly compactBytes?: number
  /**
   * Is told, before a damaged journal is put aside, of the unfinished tasks of which something may still run.
   * Until it has resolved a crash changes nothing: the next start finds the same damage.
   */
  readonly onDamage?: (tasks: readonly LedgerTask[]) => Promise<void>
  readonly onCompact?: () => void
}

/**
 * Opens `journal.jsonl` in `directory`, which it makes with mode 0700 if it is missing.
 * A torn last line is what a crash leaves, and is cut off; damage means that decisions are lost, so the file is put
 * aside and a new journal begins. Every start, and every growth past `compactBytes`, writes the file anew from the
 * ledger's state. A disk that is full, broken or read-only is no reason not to open: `fault` says why nothing is taken.
 * @throws the file system's error if the file cannot be read, or the folder cannot be used whatever the disk does.
 */
export async function openJournal(
  directory: string,
  clock: Clock,
  options: JournalOptions = {},
): Promise<Journal> {
  const { disk = realDisk, compactBytes = limits.JOURNAL_BYTES_MAX, onDamage, onCompact } = options
  const path = join(directory, 'journal.jsonl')
  const text = await disk.read(path)
  const { records, damaged } = readRecords(text ?? '')
  // A journal is put in its place whole, so that even its first line can be missing only by damage.
  const wasLost = damaged || (text !== undefined && records[0]?.type !== 'journal')
  if (wasLost) await onDamage?.(salvageTasks(text ?? ''))
  const journal = new FileJournal(
    { path, clock, disk, compactBytes, onCompact: onCompact ?? (() => undefined) },
    new Ledger(wasLost || text === undefined ? [newJournalRecord()] : records),
    wasLost,
  )
  // Read back is not on disk: a life that was killed may have written it and never flushed it.
  await journal.append([]).catch(({ cause }: DownlinkError) => {
    if (cause instanceof Error && !mayPass(cause)) throw cause
  })
  return journal
}
