/** Bad: exports that hide what they export, or change it. */
export * from './operator-api.ts' // expect: downlink/no-star-export
export let changing = 1 // expect: import/no-mutable-exports
export default changing++ // expect: import/no-default-export
