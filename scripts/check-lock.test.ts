/** Tests of the lock file's check, on small locks that were made up. */

import { expect, it } from 'vitest'

import { lockFaults } from './check-lock.ts'

it('given a lock whose optional bindings all have entries > finds nothing', () => {
  const packages = {
    '': {},
    'node_modules/linter': { optionalDependencies: { '@linter/linux': '1.0.0', '@linter/darwin': '1.0.0' } },
    'node_modules/linter/node_modules/@linter/darwin': {},
    'node_modules/@linter/linux': {},
  }
  expect(lockFaults({ packages })).toEqual([])
})

it('given a binding that npm dropped > names it and who wants it', () => {
  const packages = {
    'node_modules/linter': { optionalDependencies: { '@linter/linux': '1.0.0', '@linter/darwin': '1.0.0' } },
    'node_modules/@linter/linux': {},
  }
  expect(lockFaults({ packages })).toEqual(['node_modules/linter: its optional @linter/darwin has no entry'])
})

it("given a binding in another package's folder only > does not accept it", () => {
  const packages = {
    'node_modules/linter': { optionalDependencies: { binding: '1.0.0' } },
    'node_modules/other/node_modules/binding': {},
  }
  expect(lockFaults({ packages })).toHaveLength(1)
})

it('given a dependent that is nested > looks in each folder above it', () => {
  const packages = {
    'node_modules/a/node_modules/b': { optionalDependencies: { besideB: '1.0.0', top: '1.0.0' } },
    'node_modules/a/node_modules/besideB': {},
    'node_modules/top': {},
  }
  expect(lockFaults({ packages })).toEqual([])
})

it('given a workspace package > finds its bindings in the root', () => {
  const packages = {
    'packages/hub': { optionalDependencies: { binding: '1.0.0' } },
    'node_modules/binding': {},
  }
  expect(lockFaults({ packages })).toEqual([])
})

it('given an entry resolved at a host > names the entry', () => {
  const packages = {
    'node_modules/a': { resolved: 'https://registry.example/a.tgz' },
    'node_modules/hub': { resolved: 'packages/hub' },
  }
  expect(lockFaults({ packages })).toEqual([
    'node_modules/a: resolved names a host (https://registry.example/a.tgz)',
  ])
})
