/** Tests of the check of the packages' rank order. */

import { expect, it } from 'vitest'

import type { RankedPackage } from './check-ranks.ts'
import { rankFaults } from './check-ranks.ts'

const protocol: RankedPackage = {
  name: '@downlink/protocol',
  version: '1.0.0',
  dependencies: {},
  references: [],
}

function hub(dependencies: Record<string, string>, references = Object.keys(dependencies)): RankedPackage {
  return { name: '@downlink/hub', version: '1.0.0', dependencies, references }
}

it('given packages in order > finds nothing', () => {
  expect(rankFaults([protocol, hub({ '@downlink/protocol': '1.0.0' })])).toEqual([])
})

it('given a dependency on a package of the same or a higher rank > names both', () => {
  const agent: RankedPackage = { name: '@downlink/agent', version: '1.0.0', dependencies: {}, references: [] }
  const testkit: RankedPackage = { ...agent, name: '@downlink/testkit' }
  const dependencies = { '@downlink/agent': '1.0.0', '@downlink/testkit': '1.0.0' }
  expect(rankFaults([agent, testkit, hub(dependencies)])).toEqual([
    '@downlink/hub: depends on @downlink/agent, not of lower rank',
    '@downlink/hub: depends on @downlink/testkit, not of lower rank',
  ])
})

it("given a dependency that is not the workspace's version > says both versions", () => {
  expect(rankFaults([protocol, hub({ '@downlink/protocol': '0.9.0' })])).toEqual([
    '@downlink/hub: depends on @downlink/protocol 0.9.0, the workspace has 1.0.0',
  ])
})

it('given references that differ from the dependencies > says which file lacks what', () => {
  expect(rankFaults([protocol, hub({ '@downlink/protocol': '1.0.0' }, [])])).toEqual([
    '@downlink/hub: tsconfig.json lacks a reference to @downlink/protocol',
  ])
  expect(rankFaults([protocol, hub({}, ['@downlink/protocol'])])).toEqual([
    '@downlink/hub: package.json lacks @downlink/protocol',
  ])
})

it('given a package without a rank > asks for one', () => {
  expect(rankFaults([{ ...protocol, name: '@downlink/new' }])).toEqual([
    '@downlink/new: has no rank in scripts/check-ranks.ts',
  ])
})
