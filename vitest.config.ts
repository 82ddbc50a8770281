/** How the tests run: `fast` in `npm run check`; `fault` (real sockets, kills), `e2e` (the command), `network` (proxies, namespaces) in `npm test`. */

import { defineConfig } from 'vitest/config'

const lintFixtures = 'scripts/lint-fixtures/**'

export default defineConfig({
  ssr: { resolve: { conditions: ['@downlink/source'] } },
  test: {
    // Processes, because some tests start worker threads and signal handlers of their own.
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['scripts/patient-waits.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['packages/*/src/**/*.test.ts', 'scripts/**/*.test.ts', 'bench/**/*.test.ts'],
          exclude: ['**/*.fault.test.ts', lintFixtures],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'fault',
          include: ['packages/*/src/**/*.fault.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          exclude: ['e2e/**/*.network.test.ts'],
          globalSetup: 'e2e/exchanges/run.ts',
          setupFiles: ['e2e/exchanges/test-file.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Each of them starts several processes and waits for what they print.
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          // They mostly wait for a path to be given up or to come back, so two files run side by side.
          name: 'network',
          include: ['e2e/**/*.network.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
