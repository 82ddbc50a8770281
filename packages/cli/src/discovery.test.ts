/** Tests of how commands find the hub and its token in ./.downlink, and to whom a token is never sent. */
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  dataFolder,
  findHub,
  makePrivateFolder,
  readHubUrl,
  shownPath,
  writeHubUrl,
  writePrivateFile,
  type DataFolder,
} from './discovery.ts'

let cwd: string
let folder: DataFolder

beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'downlink-discovery-'))
  folder = dataFolder(cwd)
})

afterEach(async () => {
  await rm(cwd, { recursive: true })
})

async function leaveHub(): Promise<void> {
  await makePrivateFolder(folder.path)
  await writeHubUrl(folder, new URL('http://127.0.0.1:8787'))
  await writePrivateFile(folder.tokenFile, 'dlo.key.secret\n')
}

test('given a hub ran from this folder > its URL and token are found, and only the owner can read them', async () => {
  await leaveHub()
  expect(await findHub(cwd, {})).toEqual({
    url: 'http://127.0.0.1:8787/',
    token: 'dlo.key.secret',
    tokenFile: './.downlink/operator-token',
  })
  expect((await stat(folder.tokenFile)).mode & 0o777).toBe(0o600)
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700)
})

test('given nothing was left here > the error says what to start', async () => {
  await expect(findHub(cwd, {})).rejects.toThrow(/downlink up/)
})

test('given --hub names another hub > the token that was found is not sent to it', async () => {
  await leaveHub()
  await expect(findHub(cwd, { hub: 'https://hub.example.com' })).rejects.toThrow(/--token-file/)
  await expect(findHub(cwd, { hub: 'http://127.0.0.1:8788' })).rejects.toThrow(/belongs to another hub/)
  expect(await findHub(cwd, { hub: 'http://127.0.0.1:8787' })).toMatchObject({ token: 'dlo.key.secret' })
})

test('given --hub and --token-file > both are taken as they are', async () => {
  await writePrivateFile(join(cwd, 'token'), 'dlo.other.secret')
  expect(await findHub(cwd, { hub: 'https://hub.example.com', tokenFile: 'token' })).toMatchObject({
    url: 'https://hub.example.com',
    token: 'dlo.other.secret',
  })
  await expect(findHub(cwd, { hub: 'https://hub.example.com', tokenFile: 'none' })).rejects.toThrow(
    /There is no operator token in .\/none/,
  )
})

test('given a token file that others can read > it is refused with what to run', async () => {
  await leaveHub()
  await chmod(folder.tokenFile, 0o644)
  await expect(findHub(cwd, {})).rejects.toThrow(/chmod 600/)
})

test.each(['', 'no json', '{"url":5}', '{"url":"nowhere"}'])(
  'given a hub.json with %j > no hub is known',
  async (text) => {
    await makePrivateFolder(folder.path)
    await writeFile(folder.hubFile, text)
    expect(await readHubUrl(folder)).toBeUndefined()
  },
)

test('given paths > those below the current folder are shown as people type them', () => {
  expect(shownPath('/a/b', '/a/b/.downlink/x')).toBe('./.downlink/x')
  expect(shownPath('/a/b', '/a/c')).toBe('/a/c')
  expect(shownPath('/a/b', '/a/b')).toBe('.')
})
