/** Resolves names for an agent's connections anew each time, with one question per name under way at most. */
import { lookup as lookUpBySystem, type LookupAddress, type LookupOptions } from 'node:dns'

/** As `net.connect` calls it. */
type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void

/**
 * By the question. The whole process shares it, as it shares the two threads in which the system's resolver runs: where
 * the name server is silent, each question holds one of them for 10 s and more, long after its connection was given up,
 * and what the application looks up would wait behind all of them.
 */
const underWay = new Map<string, LookupCallback[]>()

/** A look-up as `net.connect` takes it: whoever asks what is being asked already gets the same answer. Nothing is kept. */
export function lookUp(hostname: string, options: LookupOptions, callback: LookupCallback): void {
  const { family = 0, hints = 0, all = false } = options
  const question = `${String(family)} ${hints} ${all} ${hostname}`
  const waiting = underWay.get(question)
  if (waiting !== undefined) {
    waiting.push(callback)
    return
  }
  const callbacks = [callback]
  underWay.set(question, callbacks)
  lookUpBySystem(hostname, options, (error, address, found) => {
    underWay.delete(question)
    for (const tell of callbacks) tell(error, address, found)
  })
}
