/** A journal that something else has changed: bits that flipped, lines that are gone, what its tasks left running. */
import { limits } from '@downlink/protocol'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { issued } from '../../test/fakes.ts'
import { encodeRecord, readRecords } from './journal-lines.ts'
import { openJournal } from './open-journal.ts'
import type { LedgerRecord } from './ledger-records.ts'
import type { LedgerTask } from './ledger-state.ts'

const clock = createTestClock()
let directory: string
let path: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'downlink-damage-'))
  path = join(directory, 'journal.jsonl')
})
afterEach(() => rm(directory, { recursive: true }))

const records: readonly LedgerRecord[] = [
  { type: 'journal', journalId: 'j1' },
  { type: 'task', taskId: 't1', kind: 'job', input: 'ü' },
  { type: 'intent', control: issued('c1', 'pause', 1), delivery: 'atLeastOnce' },
]
const text = records.map(encodeRecord).join('')

describe('given a line with a right checksum', () => {
  test.each(['', '{', 'null', '[]', '{}', '{"type":7}', '{"type":"later"}', '{"type":"toString"}'])(
    'when it holds %j, which this version never writes > the journal is damaged from there on',
    (json) => {
      const line = `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
      expect(readRecords(text + line + text)).toEqual({ records, damaged: true })
    },
  )
})

describe('given a journal with a flipped bit', () => {
  test('when it is any bit of the file > the damage is seen, and never taken for a torn end', () => {
    const bytes = Buffer.from(text)
    for (let index = 0; index < bytes.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = bytes.with(index, bytes.readUInt8(index) ^ (1 << bit))
        const read = readRecords(Buffer.from(flipped).toString('utf8'))
        expect(
          read.damaged,
          `bit ${bit} of byte ${index}: what was promised would be forgotten silently`,
        ).toBe(true)
      }
    }
  })

  test('when it is whole, or cut anywhere in its last line > it is not damaged', () => {
    const lastLine = text.lastIndexOf('\n', text.length - 2) + 1
    for (let end = lastLine; end <= text.length; end++) {
      expect(readRecords(text.slice(0, end)).damaged, `cut at ${end}`).toBe(false)
    }
  })

  test('when a line in the middle is gone for blanks > damaged', () => {
    expect(readRecords(text.replace(/"t1"/, '\0\0\0\0')).damaged).toBe(true)
  })
})

describe('given a damaged journal', () => {
  const running = (taskId: string, pid: number): string =>
    encodeRecord({ type: 'task', taskId, kind: 'job', input: null }) +
    encodeRecord({ type: 'facts', taskId, facts: { pid } })

  test('when tasks of it may still run > they are told before it is put aside; ended ones are not', async () => {
    const ended = encodeRecord({ type: 'end', taskId: 't2', end: { status: 'completed' }, wallMs: 1 })
    await writeFile(path, `${text}${running('t2', 2)}not a record\n${running('t3', 3)}${ended}`)
    const left: (readonly LedgerTask[])[] = []
    const journal = await openJournal(directory, clock, {
      async onDamage(tasks) {
        left.push(tasks)
        expect(await readdir(directory), 'a crash now must find the same damage again').toEqual([
          'journal.jsonl',
        ])
      },
    })
    expect(left).toEqual([[{ taskId: 't3', kind: 'job', input: null, facts: { pid: 3 } }]])
    expect(journal.wasLost).toBe(true)
    expect([...journal.ledger.state.tasks.keys()], 'the hub hands out what shall run').toEqual([])
    await journal[Symbol.asyncDispose]()
  })

  test('when it happens again and again > the last JOURNALS_ASIDE_MAX are kept', async () => {
    for (let count = 0; count < limits.JOURNALS_ASIDE_MAX + 3; count++) {
      await writeFile(path, `damaged ${count}\n`)
      clock.advance(1_000)
      await (await openJournal(directory, clock))[Symbol.asyncDispose]()
    }
    const aside = (await readdir(directory)).filter((name) => name.includes('damaged')).toSorted()
    const texts = await Promise.all(aside.map((name) => readFile(join(directory, name), 'utf8')))
    expect(texts).toEqual(['damaged 3\n', 'damaged 4\n', 'damaged 5\n'])
  })

  test('when it is empty > it is damaged: a journal is never put in its place without its first line', async () => {
    await writeFile(path, '')
    const journal = await openJournal(directory, clock)
    expect(journal.wasLost).toBe(true)
    await journal[Symbol.asyncDispose]()
  })
})
