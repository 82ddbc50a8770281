/** What is fuzzed: how its inputs are made, and what must hold of it for every one of them. */
import type { Chance } from './chance.ts'

/** One thing that takes in what others send. */
export interface FuzzTarget {
  readonly name: string
  /** An input; bytes, so that a failing one can be made smaller without knowing what it means. */
  generate(chance: Chance): Uint8Array
  /**
   * Takes the input in.
   * @param chance - of all that is not input, such as where it is cut; the same for every try of one case.
   * @throws whatever is wrong: a {@link Finding}, or what nobody expected.
   */
  run(input: Uint8Array, chance: Chance): void | Promise<void>
  /** Ends what the target started. */
  end?(): Promise<void>
}

/** Something did not hold. */
export class Finding extends Error {}

/** @throws Finding unless `holds`. */
export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Finding(what)
}

const PROTOTYPES: readonly object[] = [
  Object.prototype,
  Array.prototype,
  String.prototype,
  Function.prototype,
]
const NAMES = PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).length)

/** @throws Finding if anything was added to what every object inherits. */
export function checkPrototypes(): void {
  PROTOTYPES.forEach((prototype, index) => {
    check(Reflect.ownKeys(prototype).length === NAMES[index], 'a prototype was changed')
  })
}
