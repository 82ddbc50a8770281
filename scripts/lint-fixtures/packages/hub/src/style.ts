/** Bad: what the correctness rules and a few more catch. */
const unused = 1 // expect: no-unused-vars
export const loose = (a: number, b: number): boolean => a == b // expect: eqeqeq
var hoisted = 1 // expect: no-var
let constant = 2 // expect: prefer-const
export const sum = hoisted + constant
// expect: unicorn/no-abusive-eslint-disable
// oxlint-disable-next-line
export const disabled = (a: number, b: number): boolean => a == b
// expect: unused-directive
// oxlint-disable-next-line no-debugger -- nothing to disable
export const two = 2
