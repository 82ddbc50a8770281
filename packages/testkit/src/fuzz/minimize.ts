/** Makes a failing input smaller for as long as it fails. */

/** Tries at most; a hub is asked over a socket each time. */
const TRIES_MAX = 400

/** The smallest part of `input` that was found for which `fails`. */
export async function minimize(
  input: Uint8Array,
  fails: (smaller: Uint8Array) => Promise<boolean>,
): Promise<Uint8Array> {
  let best = input
  let tries = 0
  for (let part = Math.ceil(best.length / 2); part >= 1 && tries < TRIES_MAX; part = Math.floor(part / 2)) {
    for (let at = 0; at < best.length && tries < TRIES_MAX;) {
      const smaller = Uint8Array.from(Buffer.concat([best.subarray(0, at), best.subarray(at + part)]))
      tries += 1
      if (await fails(smaller)) best = smaller
      else at += part
    }
  }
  return best
}
