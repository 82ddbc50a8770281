/** Keeps a folder for one process: two agents on one journal would ruin it. The lock ends with its process, however that ends. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { CommandError, EXIT } from './exit-codes.ts'

/** Bytes of a pid are no lock: it may be another's by now. SQLite's is the kernel's, and Node has no other. */
const LOCK_FILE = 'lock.db'

/**
 * Takes the folder until the result is disposed of.
 * @throws CommandError `failed` if another process has it.
 */
export function lockFolder(path: string, shown: string): Disposable {
  const database = new DatabaseSync(join(path, LOCK_FILE), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    throw new CommandError(
      EXIT.failed,
      `Another process runs the agent in ${shown}. Stop it first, or start a second agent: downlink agent --name second`,
      { cause: error },
    )
  }
  return { [Symbol.dispose]: () => database.close() }
}
