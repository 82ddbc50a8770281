/** `npm run bench:plot`: draws the committed records anew, as an SVG for the README and as a page. */
import { writeFileSync } from 'node:fs'
import { draw, readReferences } from './reference.ts'

for (const [path, text] of Object.entries(draw(readReferences()))) {
  writeFileSync(new URL(`../../${path}`, import.meta.url), text)
  console.log(`Written to ${path}.`)
}
