import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { MIGRATIONS } from './migrations.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import { failureOf, needsReopening } from './sqlite-failure.ts'
import type { OpenRequest } from './sqlite-protocol.ts'

let directory: string
let file: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'downlink-sqlite-'))
  file = join(directory, 'hub.sqlite')
})
afterEach(() => rmSync(directory, { recursive: true }))

function open(options: Partial<OpenRequest> = {}): SqliteDatabase {
  return new SqliteDatabase({ file, busyMs: 0, walBytesMax: 1_000_000, epoch: { atLeast: 1 }, ...options })
}

const write = (key: string, expectedVersion: number, json = '{}') =>
  ({ bucket: 'mailboxes', key, expectedVersion, json }) as const
/** The last step of this version; tests add one more. */
const NEWEST = MIGRATIONS.length
const fact = { agentId: 'a', atMs: 1, kind: 'k', json: '1' }

it('given a batch in which one document is at another version > only its write and its history are left out', () => {
  const database = open()
  expect(database.commit({ writes: [write('a', 0), write('b', 0)], history: [] }, 0).conflicts).toEqual([])
  const writes = [write('a', 5, '"wrong"'), write('b', 1, '"new"'), write('a', 0, '"wrong"'), write('c', 1)]
  const history = [0, 1, 2, 3].map((index) => ({ ...fact, write: index, kind: `k${index}` }))
  expect(database.commit({ writes, history }, 0).conflicts).toEqual([0, 2, 3])
  expect(database.read('mailboxes', 'a')).toEqual({ version: 1, json: '{}' })
  expect(database.read('mailboxes', 'b')).toEqual({ version: 2, json: '"new"' })
  expect(database.read('mailboxes', 'c')).toBeUndefined()
  const all = { after: 0, sinceMs: 0, limit: 10 }
  expect(database.history({ agentId: 'a' }, all).map(({ kind }) => kind)).toEqual(['k1'])
  database.close(0)
})

it('given a new database > it is readable by its owner only, and so are the files beside it', () => {
  const database = open()
  database.commit({ writes: [write('a', 0)], history: [] }, 0)
  for (const name of [file, `${file}-wal`]) expect((statSync(name).mode & 0o777).toString(8)).toBe('600')
  database.close(0)
})

it('given openings one after the other > the epoch rises above the last one and to the clock, service time stays', () => {
  const epochs = [1, 1, 1_000, 1].map((atLeast) => {
    const database = open({ epoch: { atLeast } })
    const { epoch, serviceMs } = database.opened
    database.close(serviceMs + 10.5)
    return [epoch, serviceMs]
  })
  expect(epochs).toEqual([
    [1, 0],
    [2, 11],
    [1_000, 22],
    [1_001, 33],
  ])
})

it('given a thread that starts again > it keeps the epoch, and is refused if somebody else has opened the database', () => {
  open({ epoch: { atLeast: 5 } }).abandon()
  const again = open({ epoch: { same: 5 } })
  expect(again.opened.epoch).toBe(5)
  again.abandon()
  open().abandon()
  expect(() => open({ epoch: { same: 5 } })).toThrow(
    /Another hub has opened .* Run one hub per data directory/,
  )
})

it('given a database of an older version > it is upgraded, and what it holds is kept', () => {
  const before = open()
  before.commit({ writes: [write('a', 0, '"kept"')], history: [{ ...fact, write: 0 }] }, 0)
  before.close(0)
  const next = { version: NEWEST + 1, name: 'notes', sql: 'ALTER TABLE history ADD COLUMN note TEXT' }
  const upgraded = open({ migrations: [...MIGRATIONS, next] })
  expect(upgraded.read('mailboxes', 'a')).toEqual({ version: 1, json: '"kept"' })
  upgraded.close(0)
  const reader = new DatabaseSync(file)
  expect(reader.prepare('SELECT note, kind FROM history').all()).toEqual([{ note: null, kind: 'k' }])
  expect(reader.prepare('PRAGMA user_version').get()).toEqual({ user_version: NEWEST + 1 })
  reader.close()
  expect(() => open()).toThrow(
    new RegExp(
      `newer Downlink \\(database version ${NEWEST + 1}; this one knows up to ${NEWEST}\\).*Start that newer version`,
    ),
  )
  open({ migrations: [...MIGRATIONS, next] }).close(0)
})

it('given a step that fails halfway > nothing of it is kept, and it is taken at the next opening', () => {
  open().close(0)
  const broken = {
    version: NEWEST + 1,
    name: 'broken',
    sql: 'CREATE TABLE notes (id INTEGER); INSERT INTO nowhere VALUES (1)',
  }
  expect(() => open({ migrations: [...MIGRATIONS, broken] })).toThrow(/nowhere/)
  const mended = { version: NEWEST + 1, name: 'mended', sql: 'CREATE TABLE notes (id INTEGER)' }
  open({ migrations: [...MIGRATIONS, mended] }).close(0)
})

it('given the steps of this version > they are numbered from 1 without a gap', () => {
  expect(MIGRATIONS.map(({ version }) => version)).toEqual(MIGRATIONS.map((_, index) => index + 1))
})

it('given the database of another program > it is refused and left as it is', () => {
  const foreign = new DatabaseSync(file)
  foreign.exec('CREATE TABLE theirs (id INTEGER)')
  foreign.close()
  expect(() => open()).toThrow(/database of another program.*data directory of its own/)
  const again = new DatabaseSync(file)
  expect(again.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' })
  again.close()
})

it('given a file that is no database, a directory, or a path that does not exist > the sentence says what to do', () => {
  writeFileSync(file, 'not a database, but long enough to be looked at as if it were one '.repeat(20))
  expect(() => open()).toThrow(/is not a database. Give the hub a data directory of its own/)
  expect(() => open({ file: directory })).toThrow(/cannot be opened. Check that its directory exists/)
  expect(() => open({ file: join(directory, 'missing', 'hub.sqlite') })).toThrow(
    /Check that its directory exists/,
  )
})

it('given a database that is open elsewhere > it is refused with the remedy, and free again afterwards', () => {
  const first = open()
  expect(() => open()).toThrow(/is in use by another process. Run one hub per data directory/)
  first.commit({ writes: [write('a', 0)], history: [] }, 0)
  first.close(0)
  open().close(0)
})

it('given the log of a database that was not closed > all of it is written again before anything else', () => {
  const database = open()
  for (let n = 0; n < 300; n++) database.commit({ writes: [write(`k${n}`, 0)], history: [] }, 0)
  // As a kill leaves it.
  const left = join(directory, 'left.sqlite')
  for (const suffix of ['', '-wal']) copyFileSync(file + suffix, left + suffix)
  database.close(0)
  const log = readFileSync(`${left}-wal`)
  expect(log.length, 'more than is held in memory at once').toBeGreaterThan(1_048_576)
  utimesSync(`${left}-wal`, 0, 0)
  const again = open({ file: left, epoch: { same: database.opened.epoch } })
  expect(statSync(`${left}-wal`).mtimeMs, 'it was not written').toBeGreaterThan(0)
  expect(readFileSync(`${left}-wal`).equals(log)).toBe(true)
  expect(again.list('mailboxes', '', 1_000)).toHaveLength(300)
  again.close(0)
})

it('given an error while committing > it is unknown whether it was stored, unless the disk was full', () => {
  const error = (errcode: number): Error => Object.assign(new Error('from SQLite'), { errcode })
  expect(failureOf(error(1034), file, true)).toMatchObject({ code: 'outcome_unknown' })
  expect(failureOf(error(1034), file)).toMatchObject({ code: 'store_failed' })
  expect(failureOf(error(13), file, true)).toMatchObject({ code: 'store_full' })
  expect(failureOf(error(5), file, true)).toMatchObject({ code: 'store_unavailable' })
  expect([1034, 11, 13, 5].map((code) => needsReopening(failureOf(error(code), file)))).toEqual([
    true,
    true,
    false,
    false,
  ])
})
