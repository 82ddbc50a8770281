/** What the check of the packages finds in a lock file and in a tarball. */
import { expect, test } from 'vitest'
import { contentFaults, installedWith } from './check-packages.ts'

test('given a lock file > the packages that come along are those that Node would find', () => {
  const packages = {
    'packages/a': { dependencies: { b: '1', c: '1' } },
    'node_modules/b': { link: true, resolved: 'packages/b' },
    'packages/b': { dependencies: { d: '2' } },
    'packages/b/node_modules/d': {},
    'node_modules/c': { dependencies: { d: '1', b: '1' }, optionalDependencies: { e: '1' } },
    'node_modules/d': {},
    'node_modules/e': {},
  }
  expect([...installedWith(packages, 'packages/a')].toSorted()).toEqual([
    'node_modules/c',
    'node_modules/d',
    'packages/b',
    'packages/b/node_modules/d',
  ])
})

test('given a tarball > tests, stale builds and missing files are told', () => {
  const paths = ['package.json', 'LICENSE', 'src/a.ts', 'dist/a.js', 'dist/gone.js', 'src/a.test.ts']
  const faults = contentFaults('box', paths)
  expect(faults).toHaveLength(3)
  expect(faults.join('\n')).toMatch(/a\.test\.ts[\s\S]*gone\.js[\s\S]*README\.md/)
})
