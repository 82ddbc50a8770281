// Refuses a Node that is not the workspace's own. JavaScript, and loaded by --import from package.json, so that
// a Node too old to read TypeScript gives this sentence instead of "Unknown file extension".

const MAJOR_MIN = 24

if (Number(process.versions.node.split('.')[0]) < MAJOR_MIN) {
  process.stderr.write(
    `This needs Node ${MAJOR_MIN} and runs on ${process.version}. Start it by npm (npm run check, npm test), which puts the ` +
      "workspace's own Node first; if it says the same then, the installation of that Node was skipped: run npm rebuild node.\n",
  )
  process.exit(1)
}
