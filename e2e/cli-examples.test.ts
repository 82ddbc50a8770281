/** Runs the one example of every command's --help, as it stands there, against a real hub and agent. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runDownlink, startDownlink, type DownlinkProcess } from './downlink-process.ts'

/** The commands that run until they are ended, and what they print once they do. */
const LASTING: Readonly<Record<string, string>> = {
  up: 'Changes, as they come',
  hub: 'The hub is up.',
  agent: 'is connected to',
}
/** In an order in which each finds what it needs: tasks that run before one that is cancelled. */
const COMMANDS = [
  'agents',
  'tasks',
  'run',
  'pause',
  'resume',
  'control',
  'logs',
  'enroll',
  'agent',
  'rotate',
  'token',
  'audit',
  'revoke',
  'cancel',
  'hub',
]

let cwd: string
let up: DownlinkProcess
const folders: string[] = []

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'downlink-examples-'))
  folders.push(folder)
  return folder
}

/** The arguments of the example in a help text, read as a shell would: words, and single quotes. */
function exampleOf(help: string): string[] {
  const lines = help.split('\n').filter((line) => line.startsWith('  $ '))
  expect(lines, 'give every command exactly one example').toHaveLength(1)
  const words = lines[0]?.slice(4).match(/'[^']*'|\S+/g) ?? []
  const [program, ...args] = words.map((word) => word.replaceAll("'", ''))
  expect(program, 'begin the example with the name of the command').toBe('downlink')
  return args
}

beforeAll(async () => {
  cwd = await newFolder()
  const { text } = await runDownlink(cwd, ['up', '--help'])
  up = startDownlink(cwd, exampleOf(text))
  await up.prints(LASTING['up'] ?? '')
})

afterAll(async () => {
  await up?.stop()
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })))
})

test('given the help of the program > every command is in this test', async () => {
  const { text } = await runDownlink(cwd, ['--help'])
  const listed = [...text.matchAll(/^ {2}([a-z]+)(?: \[options\]| {2,}\S)/gm)].map((match) => match[1] ?? '')
  expect(listed.toSorted(), 'add new commands to COMMANDS').toEqual(['up', ...COMMANDS].toSorted())
  exampleOf(text)
})

test.each(COMMANDS)('given the example of downlink %s > it does what its help says', async (name) => {
  const { code: helpCode, text } = await runDownlink(cwd, [name, '--help'])
  expect(helpCode).toBe(0)
  expect(text).toContain('Exit codes: 0 done')
  const args = exampleOf(text)
  expect(args[0]).toBe(name)
  const sign = LASTING[name]
  if (sign === undefined) {
    const { code, text: printed } = await runDownlink(cwd, args)
    expect(code, `downlink ${args.join(' ')} printed: ${printed}`).toBe(0)
    return
  }
  // One hub per data folder: this one gets its own.
  const command = startDownlink(name === 'hub' ? await newFolder() : cwd, args)
  await command.prints(sign)
  expect(await command.stop(), `downlink ${args.join(' ')} printed: ${command.text()}`).toBe(0)
})

test('given SIGTERM > up ends with code 0 and says that nothing is left', async () => {
  expect(await up.stop(), up.text()).toBe(0)
  expect(up.text()).toContain('nothing is left running')
})
