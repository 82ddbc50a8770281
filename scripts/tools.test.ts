/** Tests of the search for the programs that tests start. */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

import type { Tool } from './tools.ts'
import { missingTools, testsNeeding } from './tools.ts'

const tool = (name: string): Tool => ({ name, aptPackage: name, tests: ['scripts/tools.test.ts'] })

it('given a PATH > a tool is missing unless one of its folders has it as an executable', () => {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-tools-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const name of ['present', 'notExecutable']) writeFileSync(join(folder, name), '')
  chmodSync(join(folder, 'present'), 0o755)
  chmodSync(join(folder, 'notExecutable'), 0o644)
  const path = [join(folder, 'absent'), folder].join(delimiter)
  const missing = missingTools(['present', 'notExecutable', 'nowhere'].map(tool), path)
  expect(missing.map(({ name }) => name)).toEqual(['notExecutable', 'nowhere'])
})

it('given missing tools > names the test files that need them, once each', () => {
  expect(testsNeeding([tool('a'), tool('b')])).toEqual(['scripts/tools.test.ts'])
  expect(testsNeeding([])).toEqual([])
})
