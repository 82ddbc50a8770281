/** Bad: a machine of the client is pure as well, so the bans hold in any folder. */
export { spawn } from 'node:child_process' // expect: no-restricted-imports
export const reply = fetch('http://127.0.0.1/') // expect: no-restricted-globals
