/** Bad: star exports that the linter does not follow; in a comment, export * from './a.ts' is no export. */
export * from 'fastify' // expect: downlink/no-star-export
export * as fastify from 'fastify'
export type * from 'fastify' // expect: downlink/no-star-export
export const text = "export * from 'fastify' and new Date() in a text are none"
