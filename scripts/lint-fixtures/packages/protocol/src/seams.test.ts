/** Tests of the protocol may use what they need of Node. */
export { readFileSync } from 'node:fs'
