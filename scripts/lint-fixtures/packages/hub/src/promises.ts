/** Bad: promises that nobody waits for, and errors that are none. */
const work = async (): Promise<number> => 1

work() // expect: typescript/no-floating-promises
export const chosen = work() ? 1 : 2 // expect: typescript/no-misused-promises
export const notAwaited = async (): Promise<number> => {
  try {
    return work() // expect: typescript/return-await
  } catch {
    return 0
  }
}
export const thrown = (): never => {
  throw 'a string' // expect: typescript/only-throw-error
}
export const rejected = Promise.reject('a string') // expect: typescript/prefer-promise-reject-errors
export const twice = new Promise<number>((resolve) => {
  resolve(1)
  resolve(2) // expect: promise/no-multiple-resolved
})
