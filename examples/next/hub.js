/** One hub for the whole process: Next loads modules more than once, and each load must find the same. */
import { createHub, openSqliteStore } from '@downlink/hub'

const { DATA = './hub.db', OPERATOR_PASSWORD } = process.env

export function openHub() {
  globalThis.downlinkHub ??= open()
  return globalThis.downlinkHub
}

async function open() {
  if (!OPERATOR_PASSWORD) throw new Error('Set OPERATOR_PASSWORD.')
  const store = await openSqliteStore({ file: DATA })
  return createHub({
    store,
    basePath: '/downlink',
    // Your own authentication, such as the session of your login.
    async authenticateOperator({ headers }) {
      return headers.get('authorization') === `Bearer ${OPERATOR_PASSWORD}`
        ? { name: 'ada', scopes: ['admin'] }
        : undefined
    },
  })
}
