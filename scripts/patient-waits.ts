/** Set up before every test file: `vi.waitFor` gives up after half a minute, as a busy machine may stand still for longer than Vitest's one second. */
import { vi } from 'vitest'

const WAIT_MS_MAX = 30_000

const waitFor = vi.waitFor.bind(vi)
vi.waitFor = (callback, options) =>
  waitFor(callback, typeof options === 'number' ? options : { timeout: WAIT_MS_MAX, ...options })
