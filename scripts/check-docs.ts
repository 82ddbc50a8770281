/** Checks that the documents are true where a program can tell: links lead somewhere, every cited rule exists, and a test cites each. */

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export const DOCS_REMEDY =
  'Correct the link or the rule id; rules stand in PROTOCOL.md as **R-NN**, and the test that shows one has its id in a title or a comment.'

/** The relative links of a document that lead nowhere. */
export function brokenLinks(text: string, exists: (target: string) => boolean): readonly string[] {
  const targets = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target)
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false
    const [path = '', anchor] = target.split('#')
    return path !== '' ? !exists(path) : !headingAnchors(text).has(anchor ?? '')
  })
}

/** The rule ids that `text` cites and `protocol` does not define. */
export function unknownRules(text: string, protocol: string): readonly string[] {
  const defined = rulesOf(protocol)
  return [...citedIn(text)].filter((id) => !defined.has(id))
}

/** The rules of `protocol` that none of these tests cites. */
export function untestedRules(tests: readonly string[], protocol: string): readonly string[] {
  const cited = citedIn(tests.join('\n'))
  return [...rulesOf(protocol)].filter((id) => !cited.has(id))
}

export function docsFaultsOf(root: string): readonly string[] {
  const read = (path: string): string => readFileSync(join(root, path), 'utf8')
  const documents = globSync(['*.md', 'docs/**/*.md', 'vectors/**/*.md', 'examples/*/README.md'], {
    cwd: root,
  })
  const vectors = globSync('vectors/**/*.json', { cwd: root })
  const sources = globSync(['packages/*/src/**/*.ts', 'e2e/**/*.ts'], { cwd: root })
  const tests = sources.filter((path) => path.endsWith('.test.ts')).map(read)
  const protocol = read('PROTOCOL.md')
  return [
    ...documents.flatMap((path) =>
      brokenLinks(read(path), (target) => existsSync(join(root, dirname(path), target))).map(
        (target) => `${path}: the link to ${target} leads nowhere`,
      ),
    ),
    ...[...documents, ...vectors, ...sources].flatMap((path) =>
      unknownRules(read(path), protocol).map((id) => `${path}: ${id} is not in PROTOCOL.md`),
    ),
    ...untestedRules(tests, protocol).map((id) => `PROTOCOL.md: no test cites ${id}`),
  ].toSorted()
}

function rulesOf(protocol: string): ReadonlySet<string> {
  return new Set(Array.from(protocol.matchAll(/^\*\*(R-\d+)/gm), ([, id = '']) => id))
}

function citedIn(text: string): ReadonlySet<string> {
  return new Set(Array.from(text.matchAll(/\bR-\d+\b/g), ([id]) => id))
}

/** As the usual renderers make them: lower case, punctuation dropped, spaces to hyphens. */
function headingAnchors(text: string): ReadonlySet<string> {
  return new Set(
    Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
}
