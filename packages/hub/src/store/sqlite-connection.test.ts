import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits } from '@downlink/protocol'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { connectSqlite } from './sqlite-connection.ts'
import { SqliteDatabase } from './sqlite-database.ts'
import type { OpenRequest } from './sqlite-protocol.ts'

const PAGE_BYTES = 4_096
/** More than fit in one page, so that there are pages which nothing but a document is read from. */
const DOCUMENTS = 100
const EMPTY = { batch: { writes: [], history: [] }, serviceMs: 1 }

let directory: string
let request: OpenRequest
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'downlink-connection-'))
  const file = join(directory, 'hub.sqlite')
  request = { file, busyMs: 0, walBytesMax: 1_000_000, epoch: { atLeast: 1 } }
})
afterEach(() => rmSync(directory, { recursive: true }))

/** Fills the database, and the last of its pages, where documents are, with nonsense. */
function damage(): void {
  const database = new SqliteDatabase(request)
  const writes = Array.from({ length: DOCUMENTS }, (_, n) => ({
    bucket: 'mailboxes' as const,
    key: `k${n}`,
    expectedVersion: 0,
    json: JSON.stringify('x'.repeat(2_000)),
  }))
  database.commit({ writes, history: [] }, 0)
  database.close(0)
  const pages = statSync(request.file).size / PAGE_BYTES
  const file = openSync(request.file, 'r+')
  writeSync(file, Buffer.alloc(20 * PAGE_BYTES, 0xff), 0, 20 * PAGE_BYTES, (pages - 20) * PAGE_BYTES)
  closeSync(file)
}

it('given a database that fails again and again > it is opened after a pause that doubles, and a commit ends that', async () => {
  damage()
  const clock = createTestClock()
  let restarts = 0
  const { connection } = await connectSqlite(request, clock, () => (restarts += 1))
  const readAll = async (): Promise<void> => {
    for (let n = 0; n < DOCUMENTS; n++)
      await connection.request('read', { documents: [{ bucket: 'mailboxes', key: `k${n}` }] })
  }
  const pausesMs: number[] = []
  for (let failures = 1; pausesMs.filter((ms) => ms === limits.STORE_REOPEN_MS_MAX).length < 2; failures++) {
    await expect(readAll()).rejects.toMatchObject({
      code: 'store_failed',
      message: expect.stringContaining('is damaged'),
    })
    const refused = await readAll().catch((error: unknown) => error)
    expect(refused, 'it was opened again at once').toMatchObject({
      code: 'store_failed',
      message: expect.stringMatching(/is opened again in \d+ ms\.$/),
    })
    expect(restarts).toBe(failures - 1)
    const pauseMs = Number(/(\d+) ms\.$/.exec((refused as Error).message)?.[1])
    pausesMs.push(pauseMs)
    clock.advance(pauseMs)
  }
  const { STORE_REOPEN_MS_MIN: min, STORE_REOPEN_MS_MAX: max } = limits
  expect(pausesMs).toEqual([min, 2 * min, 4 * min, 8 * min, 16 * min, max, max])
  await connection.request('commit', EMPTY)
  await expect(readAll()).rejects.toThrow('is damaged')
  await expect(readAll()).rejects.toThrow(`again in ${min} ms`)
  await connection.close(1)
})
