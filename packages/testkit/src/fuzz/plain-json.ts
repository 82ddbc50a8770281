/** What holds of every message that was read from untrusted JSON. */
import { limits } from '@downlink/protocol'
import { check } from './fuzz-target.ts'

/** Members that hold whatever JSON the sender chose, within the bounds of the whole message. */
const OPAQUE: ReadonlySet<string> = new Set([
  'args',
  'input',
  'result',
  'user',
  'features',
  'details',
  'data',
])

/** @throws Finding unless `message` is plain JSON, bounded, and reads as itself. */
export function checkMessage<T>(what: string, message: T, readAgain: (message: T) => T | undefined): void {
  walk(message, what, 0)
  const text = JSON.stringify(message)
  // By its text, as JSON has numbers, such as 1e400, that it cannot write.
  const again = JSON.stringify(readAgain(JSON.parse(text) as T))
  check(
    again === text,
    `${what} does not read as itself: ${text.slice(0, 300)} became ${again?.slice(0, 300)}`,
  )
}

function walk(value: unknown, at: string, depth: number): void {
  check(depth <= limits.JSON_DEPTH_MAX, `${at} is nested too deep`)
  if (typeof value === 'string')
    check(value.length <= limits.TASK_LOG_LINE_BYTES_MAX, `${at} is a text without bound`)
  else if (typeof value === 'number') check(Number.isFinite(value), `${at} is no finite number`)
  else if (Array.isArray(value)) {
    check(value.length <= limits.TASKS_PER_SYNC_MAX, `${at} has ${value.length} elements`)
    value.forEach((item, index) => walk(item, `${at}[${index}]`, depth + 1))
  } else if (typeof value === 'object' && value !== null) {
    check(Object.getPrototypeOf(value) === Object.prototype, `${at} has a prototype of its own`)
    for (const name of Object.keys(value)) {
      check(name !== '__proto__', `${at} has a member __proto__`)
      if (!OPAQUE.has(name)) walk((value as Record<string, unknown>)[name], `${at}.${name}`, depth + 1)
    }
  } else {
    check(value === null || typeof value === 'boolean', `${at} is ${typeof value}`)
  }
}
