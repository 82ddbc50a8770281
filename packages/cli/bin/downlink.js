#!/usr/bin/env node
// Checked-in JavaScript, so that an old Node gets a sentence instead of a stack trace about node:sqlite.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `downlink needs Node 22.19 or newer; this is ${process.version}. Install Node 24, or run it through npx in this workspace.\n`,
  )
  process.exit(2)
}
if (process.argv[2] === 'hub') boundYoungGeneration()
await import('../dist/main.js')

/**
 * On a large machine V8 lets what a process has just allocated grow to 128 MiB before it collects: half of a hub's memory at
 * 19,000 streams, for nothing that it would be faster by. How much can only be said when Node starts, so it starts anew in this process.
 */
function boundYoungGeneration() {
  const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ')
  if (given.includes('--max-semi-space-size') || process.platform === 'win32') return
  const args = ['--max-semi-space-size=16', ...process.execArgv, ...process.argv.slice(1)]
  process.execve(process.execPath, [process.argv0, ...args], process.env)
}
