/** Checks that package.json and tsconfig.json of every package keep the rank order that the linter enforces on imports. */

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A package depends only on packages of lower rank; see ARCHITECTURE.md. The testkit and the bench are above all, and nothing is above them. */
const RANKS: Readonly<Record<string, number>> = {
  '@downlink/protocol': 0,
  '@downlink/agent': 1,
  '@downlink/hub': 1,
  '@downlink/client': 1,
  downlink: 3,
  '@downlink/testkit': 4,
  '@downlink/bench': 4,
}

/** The part of a package that says what it depends on. */
export interface RankedPackage {
  readonly name: string
  readonly version: string
  /** From package.json. */
  readonly dependencies: Readonly<Record<string, string>>
  /** From tsconfig.json, as package names. */
  readonly references: readonly string[]
}

/** What is wrong with the order of `packages`, one sentence each; empty if nothing is. */
export function rankFaults(packages: readonly RankedPackage[]): string[] {
  const byName = new Map(packages.map((each) => [each.name, each]))
  return packages.flatMap((each) => {
    const rank = RANKS[each.name]
    if (rank === undefined) return [`${each.name}: has no rank in scripts/check-ranks.ts`]
    const faults: string[] = []
    for (const [name, version] of Object.entries(each.dependencies)) {
      const dependency = byName.get(name)
      if (dependency === undefined) continue
      if ((RANKS[name] ?? Infinity) >= rank)
        faults.push(`${each.name}: depends on ${name}, not of lower rank`)
      if (version !== dependency.version) {
        faults.push(`${each.name}: depends on ${name} ${version}, the workspace has ${dependency.version}`)
      }
      if (!each.references.includes(name))
        faults.push(`${each.name}: tsconfig.json lacks a reference to ${name}`)
    }
    for (const name of each.references) {
      if (!Object.hasOwn(each.dependencies, name)) faults.push(`${each.name}: package.json lacks ${name}`)
    }
    return faults
  })
}

export function rankFaultsOf(root: string): string[] {
  const workspaces = (readJson(join(root, 'package.json')) as { workspaces: string[] }).workspaces
  return rankFaults(workspaces.map((folder) => readPackage(join(root, folder))))
}

/** What to do about any of the faults. */
export const RANK_REMEDY: string =
  'A package depends only on packages of lower rank (ARCHITECTURE.md). Move what both need into @downlink/protocol, or hand it in; keep "dependencies" and the references of tsconfig.json alike.'

function readPackage(folder: string): RankedPackage {
  const { name, version, dependencies } = readJson(join(folder, 'package.json')) as {
    name: string
    version: string
    dependencies?: Record<string, string>
  }
  const config = join(folder, 'tsconfig.json')
  const { references = [] } = (existsSync(config) ? readJson(config) : {}) as {
    references?: { path: string }[]
  }
  const referenceNames = references.map(
    ({ path }) => (readJson(join(folder, path, 'package.json')) as { name: string }).name,
  )
  return { name, version, dependencies: dependencies ?? {}, references: referenceNames }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}
