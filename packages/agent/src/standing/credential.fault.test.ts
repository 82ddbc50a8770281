/** The credential file on a real file system. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
  type FileHandle,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
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

  test('when it is replaced > the new key is on disk before it has the name, and the name before that is told', async () => {
    const credential = fileCredential(file)
    await credential.write('old')
    const handle = await open(file)
    const proto = Object.getPrototypeOf(handle) as Pick<FileHandle, 'sync'>
    await handle.close()
    const named: string[] = []
    const sync = vi
      .spyOn(proto, 'sync')
      .mockImplementation(async () => void named.push(readFileSync(file, 'utf8')))
    await credential.write(KEY)
    sync.mockRestore()
    expect(named).toEqual(['old\n', `${KEY}\n`])
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
    await expect(fileCredential(file).read()).rejects.toMatchObject({
      code: 'credential_unreadable',
      message: expect.stringMatching(/more than 4096 bytes/) as string,
    })
    await writeFile(file, ' \n')
    expect(await fileCredential(file).read()).toBeUndefined()
  })

  test('when it is wiped > it is put aside, and wiping nothing is no error', async () => {
    await fileCredential(file).write(KEY)
    await fileCredential(file).wipe()
    await fileCredential(file).wipe()
    expect(await fileCredential(file).read()).toBeUndefined()
    await fileCredential(file).write('second')
    await fileCredential(file).wipe()
    const aside = await readdir(join(directory, 'deep'))
    expect(aside).toHaveLength(2)
    const texts = await Promise.all(aside.map((name) => readFile(join(directory, 'deep', name), 'utf8')))
    expect(texts.toSorted(), 'nothing that was put aside may be overwritten').toEqual([
      `${KEY}\n`,
      'second\n',
    ])
    for (const name of aside) expect(name).toMatch(/^credential\.revoked-\d{4}-\d\d-\d\dT/)
  })

  test('when it is a link, a pipe or a folder > it is refused without being waited for', async () => {
    const elsewhere = fileCredential(join(directory, 'elsewhere'))
    await elsewhere.write(KEY)
    await mkdir(join(directory, 'deep'))
    await symlink(join(directory, 'elsewhere'), file)
    await expect(fileCredential(file).read()).rejects.toMatchObject({
      code: 'credential_unreadable',
      message: expect.stringMatching(/is a link/) as string,
    })
    await promisify(execFile)('mkfifo', ['-m', '600', `${file}.pipe`])
    await expect(fileCredential(`${file}.pipe`).read()).rejects.toMatchObject({
      message: expect.stringMatching(/no regular file/) as string,
    })
    await expect(fileCredential(join(directory, 'deep')).read()).rejects.toMatchObject({
      message: expect.stringMatching(/no regular file/) as string,
    })
    // Written over a link, it takes its place, and what the link points to stays.
    await fileCredential(file).write('own')
    expect([await fileCredential(file).read(), await elsewhere.read()]).toEqual(['own', KEY])
  })

  test.skipIf(process.getuid?.() !== 0)(
    'when another user owns it (tested as root) > it is refused with what to do',
    async () => {
      await fileCredential(file).write(KEY)
      await chown(file, 65_534, 65_534)
      await expect(fileCredential(file).read()).rejects.toMatchObject({
        code: 'credential_unreadable',
        message: expect.stringMatching(/belongs to user 65534.*Run: chown 0 /) as string,
      })
    },
  )

  test('when an exchange is under way > its id is kept beside, as private, until it is over', async () => {
    const { pendingExchange } = fileCredential(file)
    expect(await pendingExchange?.read()).toBeUndefined()
    await pendingExchange?.write('exchange-1')
    expect(await fileCredential(file).pendingExchange?.read()).toBe('exchange-1')
    expect((await stat(`${file}.exchange`)).mode & 0o777).toBe(0o600)
    await pendingExchange?.clear()
    await pendingExchange?.clear()
    expect(await readdir(join(directory, 'deep'))).toEqual([])
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
