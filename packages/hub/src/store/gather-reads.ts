/** Reads many documents by one message to the database thread: waking it, and being woken, costs more than reading. */
import type { CommitBackend, StoredDocument } from './commit-batch.ts'
import type { DocumentKey } from './sqlite-protocol.ts'

/** Reads documents, and answers in their order. @throws StoreError for all of them. */
export type ReadTogether = (
  documents: readonly DocumentKey[],
) => Promise<readonly (StoredDocument | undefined)[]>

interface Waiting extends DocumentKey {
  readonly resolve: (document: StoredDocument | undefined) => void
  readonly reject: (error: unknown) => void
}

/**
 * A `load` whose calls are read together with those of the same turn of the event loop and, while the database answers,
 * with all that come until it has: when thousands of agents come back, that is many.
 */
export function gatherReads(readTogether: ReadTogether): CommitBackend['load'] {
  let waiting: Waiting[] = []
  let isAsking = false

  const askAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const gathered = waiting
      waiting = []
      await answer(readTogether, gathered)
    }
    isAsking = false
  }
  return (bucket, key) =>
    new Promise((resolve, reject) => {
      waiting.push({ bucket, key, resolve, reject })
      if (isAsking) return
      isAsking = true
      // Behind the callbacks of all connections that had something to say.
      setImmediate(() => void askAll())
    })
}

async function answer(readTogether: ReadTogether, gathered: readonly Waiting[]): Promise<void> {
  try {
    const documents = await readTogether(gathered.map(({ bucket, key }) => ({ bucket, key })))
    for (const [index, { resolve }] of gathered.entries()) resolve(documents[index])
  } catch (error) {
    // What fails is the disk, and not one document.
    for (const { reject } of gathered) reject(error)
  }
}
