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

/** A `load` whose calls of one turn of the event loop are read together: when thousands of agents come back, that is many. */
export function gatherReads(readTogether: ReadTogether): CommitBackend['load'] {
  let waiting: Waiting[] = []

  const send = async (gathered: readonly Waiting[]): Promise<void> => {
    try {
      const documents = await readTogether(gathered.map(({ bucket, key }) => ({ bucket, key })))
      for (const [index, { resolve }] of gathered.entries()) resolve(documents[index])
    } catch (error) {
      // What fails is the disk, and not one document.
      for (const { reject } of gathered) reject(error)
    }
  }
  return (bucket, key) =>
    new Promise((resolve, reject) => {
      waiting.push({ bucket, key, resolve, reject })
      if (waiting.length > 1) return
      // Behind the callbacks of all connections that had something to say.
      setImmediate(() => {
        const gathered = waiting
        waiting = []
        void send(gathered)
      })
    })
}
