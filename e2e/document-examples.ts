/** The TypeScript examples of the documents, as somebody would copy them. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../scripts/run-command.ts'

/** Documents whose blocks are programs; a block's first line names its file. */
export const DOCUMENTS: readonly string[] = [
  'README.md',
  'docs/embedding.md',
  'packages/agent/README.md',
  'packages/client/README.md',
]

/** The blocks by the name of their file, word for word. @throws Error for one without a name, or with one that is taken. */
export function documentExamples(): ReadonlyMap<string, string> {
  const examples = new Map<string, string>()
  for (const document of DOCUMENTS) {
    const text = readFileSync(join(ROOT, document), 'utf8')
    for (const [, code = ''] of text.matchAll(/^```(?:ts|typescript)\n([\s\S]*?)^```$/gm)) {
      const name = /^\/\/ ([a-z][a-z.-]*\.ts)\n/.exec(code)?.[1]
      if (name === undefined) {
        throw new Error(
          `${document} has an example without a name; begin it with a line such as "// agent.ts":\n${code}`,
        )
      }
      if (examples.has(name)) throw new Error(`${document}: another example is ${name} already.`)
      examples.set(name, code)
    }
  }
  return examples
}
