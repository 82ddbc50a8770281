/** Tests of which commands an agent may run by its configuration. */
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseTaskKinds, readTaskKinds, sampleKinds, samplePath } from './task-config.ts'

test('given a full configuration > every member is taken, and cwd is below the file', () => {
  const kinds = {
    backup: {
      command: ['/usr/bin/backup', '{path}'],
      cwd: 'work',
      env: { LEVEL: '9' },
      placeholders: { path: '[a-z]+' },
      graceMs: 500,
      timeLimitMs: 60_000,
      onRestart: 'fail',
    },
  }
  expect(parseTaskKinds('/etc/acme/tasks.json', JSON.stringify({ kinds }))).toEqual({
    backup: { ...kinds.backup, cwd: '/etc/acme/work' },
  })
})

test.each([
  ['no JSON', 'kinds', 'is no JSON object'],
  ['no kinds', '{}', 'is no JSON object with a member "kinds"'],
  ['no kind', '{"kinds":{}}', 'names no kind'],
  ['a bad name', '{"kinds":{"a b":{"command":["x"]}}}', 'a kind "a b"'],
  ['no command', '{"kinds":{"a":{}}}', 'without a "command"'],
  ['a command as text', '{"kinds":{"a":{"command":"rm -rf x"}}}', 'without a "command"'],
  ['a misspelt member', '{"kinds":{"a":{"command":["x"],"placeholder":{}}}}', '"placeholder"'],
  ['numbers in env', '{"kinds":{"a":{"command":["x"],"env":{"A":1}}}}', '"env"'],
  ['a bad grace', '{"kinds":{"a":{"command":["x"],"graceMs":"1s"}}}', '"graceMs"'],
  ['a bad time limit', '{"kinds":{"a":{"command":["x"],"timeLimitMs":0}}}', '"timeLimitMs"'],
  ['a bad restart', '{"kinds":{"a":{"command":["x"],"onRestart":"maybe"}}}', '"onRestart"'],
  ['a bad cwd', '{"kinds":{"a":{"command":["x"],"cwd":1}}}', '"cwd"'],
])('given a configuration with %s > it is refused with what is wrong', (_, text, fault) => {
  expect(() => parseTaskKinds('tasks.json', text)).toThrow(fault)
})

test('given a file that is missing > the error names it', async () => {
  await expect(readTaskKinds('/nowhere/tasks.json')).rejects.toThrow('/nowhere/tasks.json does not exist')
})

test('given no configuration > the samples are there, and their files exist', () => {
  expect(Object.keys(sampleKinds())).toEqual(['archive', 'counter', 'hash'])
  for (const name of ['archive.sh', 'counter.sh', 'hash.mjs']) {
    expect(existsSync(samplePath(name)), `put ${name} into packages/cli/samples`).toBe(true)
  }
})
