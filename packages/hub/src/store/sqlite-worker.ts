/** The database thread: takes requests one by one, so that an fsync of a second delays no heartbeat. */
import { parentPort, workerData } from 'node:worker_threads'
import { SqliteDatabase } from './sqlite-database.ts'
import { failureOf, needsReopening } from './sqlite-failure.ts'
import { OPENING_ID } from './sqlite-protocol.ts'
import type { OpenRequest, Reply, Request } from './sqlite-protocol.ts'

// Imports nothing but node: and the files beside it: the conditions under which the packages resolve are not known here.
const port = parentPort
if (port === null) throw new Error('sqlite-worker is started by openSqliteStore, not by hand.')
const open = workerData as OpenRequest

function answer(id: number, isLast: boolean, work: () => unknown): void {
  let reply: Reply
  try {
    reply = { id, answer: work(), last: isLast }
  } catch (error) {
    const { code, message } = failureOf(error, open.file)
    reply = { id, failure: { code, message }, last: isLast || id === OPENING_ID || needsReopening(error) }
  }
  port?.postMessage(reply)
  // The store starts another thread on the next use.
  if (reply.last) port?.close()
}

function perform(database: SqliteDatabase, request: Request): unknown {
  switch (request.kind) {
    case 'commit':
      return database.commit(request.batch, request.serviceMs)
    case 'read':
      return request.documents.map(({ bucket, key }) => database.read(bucket, key))
    case 'list':
      return database.list(request.bucket, request.after, request.limit)
    case 'history':
      return database.history(request.scope, request)
    case 'lastSequence':
      return database.lastSequence()
    case 'prune':
      return database.prune(request.beforeMs, request.limit)
    case 'checkpoint':
      return database.checkpoint()
    case 'close':
      return database.close(request.serviceMs)
  }
}

answer(OPENING_ID, false, () => {
  const database = new SqliteDatabase(open)
  port.on('message', (request: Request) => {
    answer(request.id, request.kind === 'close', () => perform(database, request))
  })
  port.once('close', () => database.abandon())
  return database.opened
})
