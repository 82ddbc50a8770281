/** Proves every rule and every ban of .oxlintrc.json, and of check-sources, by the bad lines in lint-fixtures. */

import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, matchesGlob } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'

import { sourceFaults } from './check-sources.ts'

interface Diagnostic {
  readonly message: string
  readonly code?: string
  readonly help?: string
  readonly filename: string
  readonly labels: readonly { readonly span: { readonly line: number } }[]
}
interface Override {
  readonly files?: readonly string[]
  readonly rules: Readonly<Record<string, unknown>>
}
interface Ban {
  readonly name?: string
  readonly object?: string
  readonly property?: string
  readonly message: string
}

const root = join(import.meta.dirname, '..')
const fixtures = join(import.meta.dirname, 'lint-fixtures')
const files = globSync('packages/**/*.ts', { cwd: fixtures }).toSorted()
const config = JSON.parse(
  readFileSync(join(root, '.oxlintrc.json'), 'utf8').replace(/^\s*\/\/.*$/gm, ''),
) as Override & { readonly overrides: readonly Override[] }

// The overrides match paths below the config, so the fixtures are linted where packages/ would be.
const workspace = mkdtempSync(join(tmpdir(), 'downlink-lint-'))
afterAll(() => rmSync(workspace, { recursive: true }))
const diagnostics = lintFixtures()

describe('given the bad fixtures', () => {
  it.each(files)('%s > breaks the rules that its comments expect, and no others', (file) => {
    const text = readFileSync(join(fixtures, file), 'utf8')
    const found = [
      ...diagnostics
        .filter(({ filename }) => filename === file)
        .map((each) => `${lineOf(each)}: ${ruleOf(each)}`),
      ...sourceFaults(file, text).map(({ line, rule }) => `${line}: ${rule}`),
    ]
    const hint = `${file}: what oxlint reports and the "expect:" comments differ; correct .oxlintrc.json or the fixture`
    expect([...new Set(found)].toSorted(), hint).toEqual(expectations(text).toSorted())
  })
})

describe('given the lint configuration', () => {
  const named = [config, ...config.overrides].flatMap(({ rules }) =>
    Object.entries(rules).flatMap(([rule, value]) => (value === 'off' ? [] : [rule])),
  )
  it.each([...new Set(named)])('%s > has a bad fixture', (rule) => {
    const proved = diagnostics.some((each) => ruleOf(each) === rule)
    expect(proved, `add a line to scripts/lint-fixtures that breaks ${rule}, with "// expect: ${rule}"`).toBe(
      true,
    )
  })

  const bans = config.overrides.flatMap(({ files: globs = [], rules }, index) =>
    Object.entries(rules).flatMap(([rule, options]) =>
      bansOf(options).map((ban) => ({ title: `${globs[0]} ${rule} ${nameOf(ban)}`, ban, rule, index })),
    ),
  )
  it.each(bans)('$title > has a bad fixture', ({ ban, rule, index, title }) => {
    const proved = diagnostics.some(
      (each) =>
        ruleOf(each) === rule &&
        decidingOverride(each.filename, rule) === index &&
        each.message.includes(`'${nameOf(ban, '')}`) &&
        `${each.message} ${each.help}`.includes(ban.message),
    )
    expect(proved, `add a line to scripts/lint-fixtures that breaks: ${title}`).toBe(true)
  })
})

function lintFixtures(): Diagnostic[] {
  cpSync(join(fixtures, 'packages'), join(workspace, 'packages'), { recursive: true })
  cpSync(join(root, '.oxlintrc.json'), join(workspace, '.oxlintrc.json'))
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2024',
    module: 'nodenext',
    allowImportingTsExtensions: true,
    typeRoots: [join(root, 'node_modules', '@types')],
    types: ['node'],
  }
  writeFileSync(join(workspace, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  const oxlint = join(root, 'node_modules', 'oxlint', 'bin', 'oxlint')
  const { stdout, stderr } = spawnSync(process.execPath, [oxlint, '--type-aware', '--format', 'json'], {
    cwd: workspace,
    encoding: 'utf8',
  })
  if (!stdout.startsWith('{')) throw new Error(`oxlint gave no JSON; run npm ci. It said: ${stdout}${stderr}`)
  return (JSON.parse(stdout) as { diagnostics: Diagnostic[] }).diagnostics
}

/** `// expect: rule, rule` after code speaks of its own line, on a line by itself of the next one. */
function expectations(text: string): string[] {
  return text.split('\n').flatMap((content, index) => {
    const [, code = '', rules = ''] = /^(.*)\/\/ expect: (.*)$/.exec(content) ?? []
    const line = code.trim() === '' ? index + 2 : index + 1
    return rules === '' ? [] : rules.split(', ').map((rule) => `${line}: ${rule}`)
  })
}

function lineOf({ labels }: Diagnostic): number {
  return labels[0]?.span.line ?? 0
}

/** `eslint(no-var)` as `no-var`, `import(no-cycle)` as `import/no-cycle`: as the configuration names them. */
function ruleOf({ code, message }: Diagnostic): string {
  if (code === undefined) return message.startsWith('Unused oxlint-disable') ? 'unused-directive' : message
  return code.replace(/^eslint\((.*)\)$/, '$1').replace(/^(.*)\((.*)\)$/, '$1/$2')
}

function bansOf(options: unknown): Ban[] {
  if (!Array.isArray(options)) return []
  const bans = options.slice(1) as ({ globals?: Ban[]; patterns?: Ban[] } & Ban)[]
  return bans.flatMap((each) => each.globals ?? each.patterns ?? [each])
}

/** What a ban's diagnostic has between its first quotes; patterns of imports have no name but their message. */
function nameOf({ name, object, property, message }: Ban, otherwise = message): string {
  if (name !== undefined) return `${name}'`
  return object === undefined ? otherwise : `${object}.${property}'`
}

/** A later override replaces the options of an earlier one, so the last that sets the rule decides. */
function decidingOverride(file: string, rule: string): number {
  return config.overrides.findLastIndex(
    ({ files: globs = [], rules }) =>
      Object.hasOwn(rules, rule) && globs.some((glob) => matchesGlob(file, glob)),
  )
}
