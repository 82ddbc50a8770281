/** The data folder `./.downlink`: where `up` and `hub` leave the hub's URL and token, and the other commands find them. */
import { field, isJsonObject, parseJson } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { CommandError, EXIT } from './exit-codes.ts'

/** The data folder's default, below the current folder. */
export const DATA_FOLDER_DEFAULT = '.downlink'

/** The files of a data folder. */
export interface DataFolder {
  readonly path: string
  readonly hubFile: string
  readonly tokenFile: string
  readonly databaseFile: string
}

/** A hub and how to speak to it. */
export interface HubAccess {
  readonly url: string
  readonly token: string
  /** For messages: where the token was read. */
  readonly tokenFile: string
}

/** What the command line says about the hub. */
export interface HubFlags {
  readonly hub?: string
  readonly tokenFile?: string
}

const TOKEN_FILE_BYTES_MAX = 4_096

/** The data folder at `path`, relative to `cwd`; nothing is made. */
export function dataFolder(cwd: string, path: string = DATA_FOLDER_DEFAULT): DataFolder {
  const folder = resolve(cwd, path)
  return {
    path: folder,
    hubFile: join(folder, 'hub.json'),
    tokenFile: join(folder, 'operator-token'),
    databaseFile: join(folder, 'hub.db'),
  }
}

/** Makes a folder for its owner only, with those above it; one that exists stays as it is. */
export async function makePrivateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
}

/** Writes a file for its owner only, as a whole or not at all. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}.new`
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
}

/** Leaves the hub's URL where the other commands look. */
export async function writeHubUrl(folder: DataFolder, url: URL): Promise<void> {
  await writePrivateFile(folder.hubFile, `${JSON.stringify({ url: url.href })}\n`)
}

/** The URL that the last hub of this folder left, or undefined. */
export async function readHubUrl(folder: DataFolder): Promise<string | undefined> {
  const text = await readIfThere(folder.hubFile)
  const json = text === undefined ? undefined : parseJson(text, 8)
  const url = isJsonObject(json) ? field(json, 'url') : undefined
  return typeof url === 'string' && URL.canParse(url) ? url : undefined
}

/**
 * The token in `path`, or undefined if there is no such file.
 * @throws CommandError `usage` for a file that others can read or that is too large.
 */
export async function readTokenFile(path: string): Promise<string | undefined> {
  const facts = await stat(path).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  })
  if (facts === undefined) return undefined
  if (process.platform !== 'win32' && (facts.mode & 0o077) !== 0) {
    throw new CommandError(EXIT.usage, `Others can read the token file ${path}. Run: chmod 600 ${path}`)
  }
  if (facts.size > TOKEN_FILE_BYTES_MAX) {
    throw new CommandError(
      EXIT.usage,
      `${path} has ${facts.size} bytes; a token file has at most ${TOKEN_FILE_BYTES_MAX}. Is it the right file?`,
    )
  }
  return (await readFile(path, 'utf8')).trim()
}

/**
 * Finds the hub and the operator token: from the command line, else from `./.downlink`.
 * A token that was found there is only ever sent to the hub that left it.
 * @throws CommandError `usage` when something is missing; its message says what to start or to give.
 */
export async function findHub(cwd: string, flags: HubFlags): Promise<HubAccess> {
  const folder = dataFolder(cwd)
  const known = await readHubUrl(folder)
  const url = flags.hub ?? known
  if (url === undefined) {
    throw new CommandError(
      EXIT.usage,
      `No hub was named, and ${shownPath(cwd, folder.path)} knows of none. Start one here with: downlink up. Or name one: --hub URL --token-file FILE`,
    )
  }
  if (flags.tokenFile === undefined && originOf(url) !== originOf(known)) {
    throw new CommandError(
      EXIT.usage,
      `The token in ${shownPath(cwd, folder.path)} belongs to another hub and is not sent to the one of --hub. Give its own: --token-file FILE`,
    )
  }
  const tokenFile = flags.tokenFile === undefined ? folder.tokenFile : resolve(cwd, flags.tokenFile)
  const token = await readTokenFile(tokenFile)
  if (token === undefined) {
    throw new CommandError(
      EXIT.usage,
      `There is no operator token in ${shownPath(cwd, tokenFile)}. Start the hub with: downlink up. Or give one: --token-file FILE`,
    )
  }
  return { url, token, tokenFile: shownPath(cwd, tokenFile) }
}

/** A path as a person would type it: relative when it is below the current folder. */
export function shownPath(cwd: string, path: string): string {
  const below = relative(cwd, path)
  if (below === '') return '.'
  return below.startsWith('..') || isAbsolute(below) ? path : `./${below}`
}

/** Whether `error` has this system code. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function originOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}
