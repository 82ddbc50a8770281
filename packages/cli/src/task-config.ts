/** Which commands an agent runs: its tasks.json, or the samples that come with the command. */
import type { ProcessTaskOptions } from '@downlink/agent'
import { field, isJsonObject, limits, parseJson, type Json, type JsonObject } from '@downlink/protocol'
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasCode } from './discovery.ts'
import { CommandError, EXIT } from './exit-codes.ts'

/** Kinds of task by name. */
export type TaskKinds = Readonly<Record<string, ProcessTaskOptions>>

const KIND = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const MEMBERS: ReadonlySet<string> = new Set([
  'command',
  'cwd',
  'env',
  'placeholders',
  'graceMs',
  'timeLimitMs',
  'onRestart',
])
const CONFIG_DEPTH_MAX = 8

/** The path of a sample, which lies beside `src` and `dist` alike. */
export function samplePath(name: string): string {
  return fileURLToPath(new URL(`../samples/${name}`, import.meta.url))
}

/** The kinds that are there without a configuration. */
export function sampleKinds(): TaskKinds {
  return {
    archive: { command: ['/bin/sh', samplePath('archive.sh')] },
    counter: { command: ['/bin/sh', samplePath('counter.sh')] },
    hash: { command: [process.execPath, samplePath('hash.mjs')] },
  }
}

/**
 * Reads `{"kinds": {"NAME": {"command": ["PROGRAM", "ARGUMENT", …], "cwd"?, "env"?, "placeholders"?, "graceMs"?,
 * "timeLimitMs"?, "onRestart"?: "restart" | "fail"}}}`.
 * A relative `cwd` is below the folder of the file.
 * @throws CommandError `usage` with what is wrong and where.
 */
export async function readTaskKinds(file: string): Promise<TaskKinds> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) throw wrong(file, 'does not exist')
    throw error
  })
  return parseTaskKinds(file, text)
}

/** The same from the text of the file. */
export function parseTaskKinds(file: string, text: string): TaskKinds {
  const json = parseJson(text, CONFIG_DEPTH_MAX)
  const kinds = isJsonObject(json) ? field(json, 'kinds') : undefined
  if (!isJsonObject(kinds)) throw wrong(file, 'is no JSON object with a member "kinds"')
  const entries = Object.entries(kinds).map(([name, value]): [string, ProcessTaskOptions] => {
    if (!KIND.test(name))
      throw wrong(file, `has a kind "${name}"; names are letters, digits and ._-, at most 64`)
    return [name, kindOf(value, (fault) => wrong(file, `has a kind "${name}" ${fault}`), dirname(file))]
  })
  if (entries.length === 0) throw wrong(file, 'names no kind of task')
  return Object.fromEntries(entries)
}

function kindOf(value: Json, fault: (text: string) => CommandError, folder: string): ProcessTaskOptions {
  if (!isJsonObject(value)) throw fault('that is no object')
  const unknown = Object.keys(value).find((name) => !MEMBERS.has(name))
  if (unknown !== undefined)
    throw fault(`with a member "${unknown}", which is none of ${[...MEMBERS].join(', ')}`)
  const command = field(value, 'command')
  if (!Array.isArray(command) || command.length === 0 || !command.every((part) => typeof part === 'string')) {
    throw fault('without a "command", a list of the program and its arguments')
  }
  const cwd = field(value, 'cwd')
  if (cwd !== undefined && typeof cwd !== 'string') throw fault('whose "cwd" is no text')
  const onRestart = field(value, 'onRestart')
  if (onRestart !== undefined && onRestart !== 'restart' && onRestart !== 'fail') {
    throw fault('whose "onRestart" is neither "restart" nor "fail"')
  }
  return {
    command: command as readonly string[],
    ...(cwd === undefined ? {} : { cwd: resolve(folder, cwd) }),
    ...textsOf(value, 'env', fault),
    ...textsOf(value, 'placeholders', fault),
    ...millisecondsOf(value, 'graceMs', 0, fault),
    ...millisecondsOf(value, 'timeLimitMs', 1, fault),
    ...(onRestart === undefined ? {} : { onRestart }),
  }
}

function millisecondsOf(
  object: JsonObject,
  name: 'graceMs' | 'timeLimitMs',
  min: number,
  fault: (text: string) => CommandError,
): { readonly [name: string]: number } {
  const value = field(object, name)
  if (value === undefined) return {}
  if (!(typeof value === 'number' && value >= min && value <= limits.TASK_TIME_LIMIT_MS_MAX)) {
    throw fault(
      `whose "${name}" is no number of milliseconds from ${min} to ${limits.TASK_TIME_LIMIT_MS_MAX}`,
    )
  }
  return { [name]: value }
}

function textsOf(
  object: JsonObject,
  name: 'env' | 'placeholders',
  fault: (text: string) => CommandError,
): { readonly [name: string]: Readonly<Record<string, string>> } {
  const value = field(object, name)
  if (value === undefined) return {}
  if (!isJsonObject(value) || !Object.values(value).every((each) => typeof each === 'string')) {
    throw fault(`whose "${name}" is no object of texts`)
  }
  return { [name]: value as Readonly<Record<string, string>> }
}

function wrong(file: string, fault: string): CommandError {
  return new CommandError(
    EXIT.usage,
    `${file} ${fault}. It should look like {"kinds": {"backup": {"command": ["/usr/bin/backup", "--all"]}}}.`,
  )
}
