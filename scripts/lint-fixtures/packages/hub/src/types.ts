/** Bad: holes in the types. */
import { ControlMessage } from '@downlink/protocol' // expect: typescript/consistent-type-imports

export type Anything = any // expect: typescript/no-explicit-any
export type Control = ControlMessage
export const parsed: unknown = JSON.parse('{}')
export const leaked = JSON.parse('{}') // expect: typescript/no-unsafe-assignment
export const member = leaked.member as unknown // expect: typescript/no-unsafe-member-access
export const called = leaked() as unknown // expect: typescript/no-unsafe-call
export const length = (text: string): number => text.length
export const passed = length(leaked) // expect: typescript/no-unsafe-argument
export const returned = (): string => leaked // expect: typescript/no-unsafe-return
export const asserted = (text?: string): string => text! // expect: typescript/no-non-null-assertion

// expect: typescript/ban-ts-comment
// @ts-ignore: why not
export const ignored: number = 'text'
// expect: typescript/ban-ts-comment
// @ts-expect-error
export const expected: number = 'text'

export function exhaustive(state: 'pending' | 'applied'): number {
  // expect: typescript/switch-exhaustiveness-check
  switch (state) {
    case 'pending':
      return 1
    default:
      return 2
  }
}
