/** What the agent says of its journal's health, and how it finds out by itself that the disk is well again. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { CrashDisk } from '../../test/crash-disk.ts'
import { turn } from '../../test/fakes.ts'
import { openJournal } from './open-journal.ts'
import type { LedgerRecord } from './ledger-records.ts'
import { WatchedJournal } from './watched-journal.ts'

const record: LedgerRecord = { type: 'task', taskId: 't1', kind: 'job', input: null }

async function watched(disk: CrashDisk) {
  const clock = createTestClock()
  const health: boolean[] = []
  const troubles: string[] = []
  const journal = new WatchedJournal(await openJournal('/state', clock, { disk: disk.mount() }), {
    clock,
    onHealth: (works) => void health.push(works),
    onTrouble: (_, message) => void troubles.push(message),
  })
  return { clock, health, troubles, journal }
}

const full = { code: 'ENOSPC' } as const

describe('given a disk that cannot be written', () => {
  test.each(['ENOSPC', 'EROFS', 'EIO'])(
    'when it was so at the start (%s) > the journal opens and says so',
    async (code) => {
      const disk = new CrashDisk()
      disk.fate = () => ({ code })
      const { journal, health, troubles } = await watched(disk)
      expect(health).toEqual([false])
      expect(troubles).toHaveLength(1)
      await expect(journal.append([record])).rejects.toMatchObject({
        code: 'journal_unavailable',
        message: expect.stringContaining(code) as unknown,
      })
      await journal[Symbol.asyncDispose]()
    },
  )

  test('when nobody asks for anything > it is asked every JOURNAL_ASK_AGAIN_MS, told once, and told when it works', async () => {
    const disk = new CrashDisk()
    const { clock, journal, health, troubles } = await watched(disk)
    disk.fate = () => full
    await expect(journal.append([record])).rejects.toThrow(/journal/)
    for (let count = 0; count < 3; count++) {
      clock.advance(limits.JOURNAL_ASK_AGAIN_MS)
      await turn()
    }
    expect([health, troubles.length]).toEqual([[false], 1])
    disk.fate = () => 'done'
    clock.advance(limits.JOURNAL_ASK_AGAIN_MS)
    await turn()
    expect(health).toEqual([false, true])
    await journal.append([record])
    await journal[Symbol.asyncDispose]()
    expect(clock.pendingTimers).toBe(0)
  })

  test('when it hangs > that is told after JOURNAL_SLOW_MS, and taken back when it goes on', async () => {
    const disk = new CrashDisk()
    const { clock, journal, health } = await watched(disk)
    const appended = journal.append([record])
    clock.advance(limits.JOURNAL_SLOW_MS)
    expect(health).toEqual([false])
    await appended
    expect(health).toEqual([false, true])
    await journal[Symbol.asyncDispose]()
  })
})

describe('given a record that is no JSON', () => {
  test('when it is refused > the disk is not blamed', async () => {
    const { journal, health } = await watched(new CrashDisk())
    const bad = { type: 'facts', taskId: 't1', facts: 1n } as unknown as LedgerRecord
    await expect(journal.append([bad])).rejects.toThrow(TypeError)
    expect(health).toEqual([])
    await journal[Symbol.asyncDispose]()
  })
})
