import { expect, test } from 'vitest'
import type { StoredDocument } from './commit-batch.ts'
import { gatherReads, type ReadTogether } from './gather-reads.ts'
import { StoreError } from './store.ts'

const documentOf = (key: string): StoredDocument => ({ json: JSON.stringify(key), version: 1 })

function reader(error?: Error): { load: ReturnType<typeof gatherReads>; messages: string[][] } {
  const messages: string[][] = []
  const readTogether: ReadTogether = async (documents) => {
    messages.push(documents.map(({ key }) => key))
    if (error !== undefined) throw error
    return documents.map(({ key }) => (key === 'none' ? undefined : documentOf(key)))
  }
  return { load: gatherReads(readTogether), messages }
}

test('given reads of one turn > one message asks for them, and each is answered by its own document', async () => {
  const { load, messages } = reader()
  const answers = await Promise.all(['a', 'none', 'b'].map((key) => load('agents', key)))
  expect(answers).toEqual([documentOf('a'), undefined, documentOf('b')])
  await load('mailboxes', 'a')
  expect(messages).toEqual([['a', 'none', 'b'], ['a']])
})

test('given a disk that fails > each of them is told, and the next asks again', async () => {
  const error = new StoreError('store_failed', 'The disk failed.')
  const { load, messages } = reader(error)
  const results = await Promise.allSettled([load('agents', 'a'), load('agents', 'b')])
  expect(results).toEqual([
    { status: 'rejected', reason: error },
    { status: 'rejected', reason: error },
  ])
  await expect(load('agents', 'c')).rejects.toBe(error)
  expect(messages).toEqual([['a', 'b'], ['c']])
})

test('given reads that come while the database answers > they are one message, sent with its answer', async () => {
  const messages: string[][] = []
  const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const load = gatherReads(async (documents) => {
    messages.push(documents.map(({ key }) => key))
    await answers[messages.length - 1]?.promise
    return documents.map(({ key }) => documentOf(key))
  })
  const first = load('agents', 'a')
  await expect.poll(() => messages).toEqual([['a']])
  const others = [load('agents', 'b'), load('agents', 'c')]
  answers[0]?.resolve()
  await expect(first).resolves.toEqual(documentOf('a'))
  await expect.poll(() => messages).toEqual([['a'], ['b', 'c']])
  answers[1]?.resolve()
  await expect(Promise.all(others)).resolves.toEqual([documentOf('b'), documentOf('c')])
})
