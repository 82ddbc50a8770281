/** The credential file on a real file system. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileCredential, memoryCredential } from './credential.ts'

const KEY = 'dla.6131.key-that-must-not-be-seen.secret'
let directory: string
let file: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'downlink-credential-'))
  file = join(directory, 'deep', 'credential')
})
afterEach(() => rm(directory, { recursive: true }))

describe('given a credential file', () => {
  test('when it is written > only its owner can read it or its folder, and nothing else is left there', async () => {
    const credential = fileCredential(file)
    expect(await credential.read()).toBeUndefined()
    await credential.write('first')
    await credential.write(KEY)
    expect(await credential.read()).toBe(KEY)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(directory, 'deep'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(directory, 'deep'))).toEqual(['credential'])
  })

  test('when it cannot be replaced > the old key stays, and no copy of the new one is left', async () => {
    await fileCredential(join(file, 'inside')).write('old')
    await expect(fileCredential(file).write(KEY), 'a folder stands in its place').rejects.toMatchObject({
      code: 'EISDIR',
    })
    expect(await readdir(join(directory, 'deep'))).toEqual(['credential'])
    expect(await fileCredential(join(file, 'inside')).read()).toBe('old')
  })

  test.each([0o640, 0o604, 0o660])(
    'when others can read it (%o) > it is refused with what to do',
    async (mode) => {
      await fileCredential(file).write(KEY)
      await chmod(file, mode)
      const error: unknown = await fileCredential(file)
        .read()
        .catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'credential_unreadable' })
      expect(String(error)).toContain(`chmod 600 ${file}`)
      expect(String(error)).not.toContain(KEY)
    },
  )

  test('when it is not a key at all > it is refused by its size, and empty is none', async () => {
    await fileCredential(file).write('x'.repeat(5_000))
    await expect(fileCredential(file).read()).rejects.toMatchObject({ code: 'credential_unreadable' })
    await writeFile(file, ' \n')
    expect(await fileCredential(file).read()).toBeUndefined()
  })

  test('when it is wiped > it is put aside, and wiping nothing is no error', async () => {
    await fileCredential(file).write(KEY)
    await fileCredential(file).wipe()
    await fileCredential(file).wipe()
    expect(await fileCredential(file).read()).toBeUndefined()
    expect(await readFile(`${file}.revoked`, 'utf8')).toBe(`${KEY}\n`)
  })
})

test('given a credential in memory > it is read, replaced and wiped', async () => {
  const credential = memoryCredential('first')
  expect(await credential.read()).toBe('first')
  await credential.write(KEY)
  expect(await credential.read()).toBe(KEY)
  await credential.wipe()
  expect(await credential.read()).toBeUndefined()
})
