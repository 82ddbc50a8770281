/** The hub's two stores against the one contract. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@downlink/protocol'
import { createMemoryStore } from '../../hub/src/store/memory-store.ts'
import { openSqliteStore } from '../../hub/src/store/sqlite-store.ts'
import { describeReopenContract, describeStoreContract } from './store-contract.ts'
import type { ReopenableStore } from './store-contract.ts'

describeStoreContract('a store in memory', async () => {
  const store = createMemoryStore({ clock: systemClock })
  return { store, close: async () => store[Symbol.asyncDispose]() }
})

describeStoreContract('a store on SQLite', openOnDisk)
describeReopenContract('a store on SQLite', openOnDisk)

async function openOnDisk(): Promise<ReopenableStore> {
  const directory = await mkdtemp(join(tmpdir(), 'downlink-store-'))
  const open = { file: join(directory, 'hub.sqlite'), clock: systemClock }
  let store = await openSqliteStore(open)
  return {
    store,
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = await openSqliteStore(open)
      return store
    },
    async close() {
      await store[Symbol.asyncDispose]()
      await rm(directory, { recursive: true })
    },
  }
}
