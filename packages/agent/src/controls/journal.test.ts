/** The journal on a real file system, and on one that fails when it is told to. */
import { limits } from '@downlink/protocol'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { issued } from '../../test/fakes.ts'
import { realDisk, type JournalDisk, type JournalFile } from './journal-disk.ts'
import { encodeRecord } from './journal-lines.ts'
import type { Journal } from './journal.ts'
import { openJournal } from './open-journal.ts'
import type { LedgerRecord } from './ledger-records.ts'

const clock = createTestClock()
let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'downlink-journal-'))
  path = join(directory, 'journal.jsonl')
})
afterEach(() => rm(directory, { recursive: true }))

const task = (taskId: string): LedgerRecord => ({ type: 'task', taskId, kind: 'job', input: 'ü' })
const tasksOf = (journal: Journal): string[] => [...journal.ledger.state.tasks.keys()]

/** What the next start finds. */
async function reopened(): Promise<Journal> {
  const journal = await openJournal(directory, clock)
  await journal[Symbol.asyncDispose]()
  return journal
}

/** A real disk on which `steps` are counted and may be made to fail. */
function faultyDisk() {
  const disk = {
    steps: [] as string[],
    fail: (_step: string): void => undefined,
    /** Bytes of the next write that are taken; the rest is refused. */
    room: Number.POSITIVE_INFINITY,
  }
  const step = (name: string): void => {
    disk.steps.push(name)
    disk.fail(name)
  }
  const real: JournalDisk = {
    ...realDisk,
    async create(file) {
      step('create')
      const handle = await realDisk.create(file)
      return {
        async write(buffer: Buffer, offset: number, length: number, position: number) {
          step('write')
          if (disk.room <= 0) throw code('ENOSPC')
          const taken = Math.min(length, disk.room)
          disk.room -= taken
          return handle.write(buffer, offset, taken, position)
        },
        async datasync() {
          step('datasync')
          await handle.datasync()
        },
        async truncate(length: number) {
          step('truncate')
          await handle.truncate(length)
        },
        async sync() {
          step('sync')
          await handle.sync()
        },
        close: () => handle.close(),
      } as JournalFile
    },
    async rename(from, to) {
      step('rename')
      await realDisk.rename(from, to)
    },
    async syncDirectory() {
      step('syncDirectory')
    },
  }
  return { disk, real }
}

function code(name: string): Error {
  return Object.assign(new Error(name), { code: name })
}

describe('given a journal file', () => {
  test('when it is new > only its owner can read it, and it is not called lost', async () => {
    const journal = await openJournal(join(directory, 'deep', 'state'), clock)
    await journal[Symbol.asyncDispose]()
    expect((await stat(join(directory, 'deep', 'state'))).mode & 0o777).toBe(0o700)
    expect((await stat(join(directory, 'deep', 'state', 'journal.jsonl'))).mode & 0o777).toBe(0o600)
    expect(journal.wasLost).toBe(false)
  })

  test('when its last record is torn at any byte > that is cut off, everything before is there', async () => {
    const journal = await openJournal(directory, clock)
    await journal.append([task('t1')])
    const before = (await readFile(path)).length
    await journal.append([task('t2')])
    await journal[Symbol.asyncDispose]()
    const whole = await readFile(path)
    for (let length = before; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length))
      const again = await reopened()
      expect(again.wasLost, `cut at byte ${length}`).toBe(false)
      expect(again.ledger.journalId).toBe(journal.ledger.journalId)
      expect(tasksOf(again), `cut at byte ${length}`).toEqual(['t1'])
      expect((await readFile(path)).length, 'the torn end must go').toBe(before)
    }
  })

  test.each([
    ['a byte in the middle is wrong', (bytes: Buffer) => bytes.with(90, bytes.readUInt8(90) ^ 1)],
    ['nothing in it can be read', () => Buffer.from('not a journal')],
    ['its first line is another record', () => Buffer.from(encodeRecord(task('t9')))],
  ])('when %s > it is put aside and a new journal begins', async (_, damage) => {
    const journal = await openJournal(directory, clock)
    await journal.append([task('t1')])
    await journal.append([task('t2')])
    await journal[Symbol.asyncDispose]()
    const damaged = damage(await readFile(path))
    await writeFile(path, damaged)
    const again = await reopened()
    expect(again.wasLost).toBe(true)
    expect(again.ledger.journalId).not.toBe(journal.ledger.journalId)
    const aside = (await readdir(directory)).find((name) => name.includes('damaged')) ?? ''
    expect(await readFile(join(directory, aside)), 'it is kept for whoever looks').toEqual(
      Buffer.from(damaged),
    )
    expect((await reopened()).ledger.journalId, 'the new one stays').toBe(again.ledger.journalId)
  })

  test('when many append at once > they share a flush, and all are there', async () => {
    const { disk, real } = faultyDisk()
    const journal = await openJournal(directory, clock, { disk: real })
    disk.steps.length = 0
    await Promise.all(Array.from({ length: 50 }, (_, index) => journal.append([task(`t${index}`)])))
    expect(disk.steps.filter((step) => step === 'datasync').length, 'the first, then all others').toBe(2)
    await journal[Symbol.asyncDispose]()
    expect(tasksOf(await reopened())).toHaveLength(50)
  })

  test('when it is closed > what was given before is kept, later appends are refused', async () => {
    const journal = await openJournal(directory, clock)
    const kept = journal.append([task('t1')])
    await journal[Symbol.asyncDispose]()
    await kept
    await expect(journal.append([task('t2')])).rejects.toMatchObject({ code: 'journal_unavailable' })
    expect(tasksOf(await reopened())).toEqual(['t1'])
  })
})

describe('given a disk that fails', () => {
  describe('and an outcome that the hub has acknowledged (R-26)', () => {
    const { disk, real } = faultyDisk()
    async function withAcknowledged(): Promise<Journal> {
      disk.fail = () => undefined
      const journal = await openJournal(directory, clock, { disk: real })
      await journal.append([{ type: 'intent', control: issued('c1', 'poke', 1), delivery: 'atMostOnce' }])
      await journal.append([{ type: 'outcome', controlId: 'c1', outcome: { state: 'applied' } }])
      disk.steps.length = 0
      expect(journal.ledger.acknowledge(journal.ledger.report(), ['c1'])).toBe(true)
      return journal
    }
    const outcomesOf = (journal: Journal): string[] => [...journal.ledger.state.outcomes.keys()]

    test('when it has nothing else to write > nothing is written until it is closed', async () => {
      const journal = await withAcknowledged()
      expect(disk.steps, 'a flush of its own would delay the next control').toEqual([])
      await journal[Symbol.asyncDispose]()
      expect(disk.steps).toEqual(['write', 'datasync'])
      expect(outcomesOf(await reopened())).toEqual([])
    })

    test('when it writes the next record > both share a flush', async () => {
      const journal = await withAcknowledged()
      await journal.append([task('t1')])
      expect(disk.steps).toEqual(['write', 'datasync'])
      expect([outcomesOf(journal), journal.ledger.forgetRecord()]).toEqual([[], undefined])
      await journal[Symbol.asyncDispose]()
      expect(disk.steps, 'nothing is left to write').toHaveLength(2)
      const again = await reopened()
      expect([outcomesOf(again), tasksOf(again)]).toEqual([[], ['t1']])
      expect(again.ledger.openedAt).toBe(journal.ledger.state.position)
    })

    test('when that record is refused > it is forgotten with the one after', async () => {
      const journal = await withAcknowledged()
      disk.fail = (step) => {
        if (step === 'write') throw code('ENOSPC')
      }
      await expect(journal.append([task('t1')])).rejects.toThrow('ENOSPC')
      expect(outcomesOf(journal), 'the ledger is what is on disk').toEqual(['c1'])
      disk.steps.length = 0
      await journal[Symbol.asyncDispose]()
      expect(disk.steps, 'do not wait for a disk that fails').toEqual([])
      const again = await openJournal(directory, clock)
      expect(outcomesOf(again), 'and report it once more').toEqual(['c1'])
      again.ledger.acknowledge(again.ledger.report(), ['c1'])
      await again.append([task('t2')])
      await again[Symbol.asyncDispose]()
      expect(outcomesOf(await reopened())).toEqual([])
    })
  })

  test('when it takes a part of a record only > nothing of it is kept, and the next append works', async () => {
    const { disk, real } = faultyDisk()
    const journal = await openJournal(directory, clock, { disk: real })
    disk.room = 20
    await expect(journal.append([task('t1')])).rejects.toMatchObject({
      code: 'journal_unavailable',
      message: expect.stringContaining('ENOSPC') as unknown,
    })
    expect(tasksOf(journal), 'a refused record is not in the ledger').toEqual([])
    disk.room = Number.POSITIVE_INFINITY
    await journal.append([task('t2')])
    await journal[Symbol.asyncDispose]()
    const again = await reopened()
    expect(again.wasLost).toBe(false)
    expect(tasksOf(again)).toEqual(['t2'])
  })

  test('when a flush fails and the refused end cannot be cut off > nothing is taken until it can', async () => {
    const { disk, real } = faultyDisk()
    const journal = await openJournal(directory, clock, { disk: real })
    disk.fail = (step) => {
      if (step === 'datasync' || step === 'truncate') throw new Error('I/O error')
    }
    await expect(journal.append([task('refused-1'), task('refused-2')])).rejects.toThrow(/journal/)
    disk.fail = (step) => {
      if (step === 'sync') throw new Error('I/O error')
    }
    await expect(journal.append([task('t1')]), 'a new file cannot be made either').rejects.toThrow(/journal/)
    disk.fail = () => undefined
    await journal.append([task('t2')])
    await journal[Symbol.asyncDispose]()
    expect(tasksOf(await reopened()), 'a refused record must not come back').toEqual(['t2'])
  })

  test('when a batch fails > each of its appends is told, and later ones are not harmed', async () => {
    const { disk, real } = faultyDisk()
    const journal = await openJournal(directory, clock, { disk: real })
    let fails = 2
    disk.fail = (step) => {
      if (step === 'datasync' && fails-- > 0) throw new Error('I/O error')
    }
    const ends = await Promise.allSettled(['a', 'b', 'c'].map((id) => journal.append([task(id)])))
    expect(ends.map((end) => end.status)).toEqual(['rejected', 'rejected', 'rejected'])
    await journal.append([task('d')])
    expect(tasksOf(journal)).toEqual(['d'])
    await journal[Symbol.asyncDispose]()
  })

  test('when a record is no JSON > it is refused and the journal goes on', async () => {
    const journal = await openJournal(directory, clock)
    const bad = { type: 'facts', taskId: 't1', facts: 1n } as unknown as LedgerRecord
    await expect(journal.append([bad])).rejects.toThrow(TypeError)
    await journal.append([task('t1')])
    await journal[Symbol.asyncDispose]()
  })
})

describe('given a journal that has grown past JOURNAL_BYTES_MAX', () => {
  const intent: LedgerRecord = {
    type: 'intent',
    control: issued('c1', 'pause', 7),
    delivery: 'atLeastOnce',
  }
  const filler: LedgerRecord = { type: 'facts', taskId: 't1', facts: 'x'.repeat(60_000) }
  const count = Math.ceil(limits.JOURNAL_BYTES_MAX / 60_000)

  async function grown(real: JournalDisk): Promise<Journal> {
    const journal = await openJournal(directory, clock, { disk: real })
    await journal.append([task('t1'), intent])
    await journal.append(Array.from({ length: count }, () => filler))
    return journal
  }

  function expectState(journal: Journal): void {
    expect(tasksOf(journal)).toContain('t1')
    expect(journal.ledger.intendedState('t1')).toBe('paused')
    expect(journal.ledger.interrupted()).toHaveLength(1)
    expect(journal.ledger.judge(issued('c2', 'pause', 7), 'atLeastOnce').kind).toBe('stale')
  }

  test('when it is compacted > the state is the same, the file small, its mode 0600', async () => {
    const journal = await grown(faultyDisk().real)
    await journal.append([task('t2')])
    await journal[Symbol.asyncDispose]()
    expect((await stat(path)).size).toBeLessThan(100_000)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const again = await reopened()
    expect(again.ledger.journalId).toBe(journal.ledger.journalId)
    expectState(again)
    expect(tasksOf(again)).toEqual(['t1', 't2'])
  })

  test.each(['create', 'write', 'sync', 'rename', 'syncDirectory'])(
    'when "%s" of it fails, as in a kill > the old file goes on and loses nothing',
    async (broken) => {
      const { disk, real } = faultyDisk()
      const journal = await openJournal(directory, clock, { disk: real })
      await journal.append([task('t1'), intent])
      disk.steps.length = 0
      let isBroken = false
      disk.fail = (step) => {
        const isCompacting = disk.steps.includes('datasync')
        if (!isCompacting || isBroken || step !== broken) return
        isBroken = true
        throw new Error('I/O error')
      }
      await journal.append(Array.from({ length: count }, () => filler))
      await journal.append([task('t2')])
      expect(isBroken, 'it was not compacted; make the journal grow further').toBe(true)
      await journal[Symbol.asyncDispose]()
      await writeFile(`${path}.new`, 'left by a kill')
      const again = await reopened()
      expectState(again)
      expect(tasksOf(again)).toEqual(['t1', 't2'])
    },
  )

  test('when the directory cannot be synced after it > nothing more is promised until it can', async () => {
    const { disk, real } = faultyDisk()
    const journal = await grown(real)
    disk.fail = (step) => {
      if (step === 'syncDirectory') throw new Error('I/O error')
    }
    await expect(journal.append([task('t2')])).rejects.toMatchObject({ code: 'journal_unavailable' })
    disk.fail = () => undefined
    await journal.append([task('t3')])
    await journal[Symbol.asyncDispose]()
    expect(tasksOf(await reopened()), 'the new file is the one that is appended to').toEqual(['t1', 't3'])
  })

  test('when the state alone is larger > it is not rewritten for every record', async () => {
    const { disk, real } = faultyDisk()
    const journal = await openJournal(directory, clock, { disk: real })
    const large = (index: number): LedgerRecord => ({
      type: 'task',
      taskId: `t${index}`,
      kind: 'job',
      input: 'x'.repeat(60_000),
    })
    await journal.append(Array.from({ length: count }, (_, index) => large(index)))
    for (let index = 0; index < 20; index++) await journal.append([task(`small${index}`)])
    const rewrites = disk.steps.filter((step) => step === 'rename').length
    expect(rewrites, 'the new journal, and one rewrite').toBe(2)
    await journal[Symbol.asyncDispose]()
  })
})
