/**
 * The parts of undici that an agent uses, loaded one by one: its index also loads fetch, WebSocket, caches and mocks, and
 * doubles what an idle agent weighs. The version is pinned, so the paths are too.
 */
import { createRequire } from 'node:module'
import type * as undici from 'undici'

const require = createRequire(import.meta.url)

/** One connection. */
export type Client = undici.Client
export const Client: typeof undici.Client = require('undici/lib/dispatcher/client.js') as typeof undici.Client

/** Some connections to one origin. */
export type Pool = undici.Pool
export const Pool: typeof undici.Pool = require('undici/lib/dispatcher/pool.js') as typeof undici.Pool

export const buildConnector: typeof undici.buildConnector =
  require('undici/lib/core/connect.js') as typeof undici.buildConnector

export const errors: typeof undici.errors = require('undici/lib/core/errors.js') as typeof undici.errors
