#!/usr/bin/env node
// Checked-in JavaScript, so that an old Node gets a sentence instead of a stack trace about node:sqlite.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `downlink needs Node 22.19 or newer; this is ${process.version}. Install Node 24, or run it through npx in this workspace.\n`,
  )
  process.exit(2)
}
await import('../dist/main.js')
