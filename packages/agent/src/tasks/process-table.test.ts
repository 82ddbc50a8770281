import { describe, expect, it } from 'vitest'
import { createProcessTable, isAlive, isStopped, parseProcStat, parsePs } from './process-table.ts'

const statLine = (name: string, state: string): string =>
  `5261 (${name}) ${state} 5256 5250 4306 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 3 0 108201 3133440 388 18446744073709551615 94554105335808 0 0 0\n`

describe('given a line of /proc/PID/stat', () => {
  it.each(['cat', 'tmux: server', 'a) R 1 2 (b', 'x\ny'])('a process named %j > is read', (name) => {
    expect(parseProcStat(statLine(name, 'S')), 'count the fields from the last parenthesis').toEqual({
      pid: 5261,
      parentPid: 5256,
      pgrp: 5250,
      session: 4306,
      state: 'S',
      threads: 3,
      startTime: '108201',
    })
  })

  it.each(['', 'nonsense', '12 (cat', '0 (x) S 1 1 1', '12 (cat) S 1 1 1'])('%j > is no process', (text) => {
    expect(parseProcStat(text), 'refuse what cannot be identified').toBeUndefined()
  })

  it('each state > is stopped, alive or neither', () => {
    const states = ['R', 'S', 'D', 'T', 't', 'Z', 'X'].map((state) => {
      const row = parseProcStat(statLine('cat', state))!
      return [state, isStopped(row), isAlive({ ...row, threads: 1 })]
    })
    expect(states, 'T and t stand still; Z and X are gone').toEqual([
      ['R', false, true],
      ['S', false, true],
      ['D', false, true],
      ['T', true, true],
      ['t', true, true],
      ['Z', false, false],
      ['X', false, false],
    ])
  })

  it('a zombie whose other threads run > is alive', () => {
    expect(isAlive(parseProcStat(statLine('cat', 'Z'))!), 'its first thread alone has ended').toBe(true)
  })
})

describe('given what ps of macOS prints', () => {
  it('rows > are read, anything else is left out', () => {
    const text = [
      '    1     0     1 Ss   Sun Nov 22 08:01:02 2026    ',
      '  812   800   800 T    Sun Nov  1 14:51:40 2026',
      '  813   812   800 Z+   Sun Nov 22 14:51:41 2026',
      'ps: something',
      '',
    ].join('\n')
    expect(
      parsePs(text),
      'take pid, group, the first letter of the state, and the start as it is printed',
    ).toEqual([
      { pid: 1, parentPid: 0, pgrp: 1, state: 'S', threads: 1, startTime: 'Sun Nov 22 08:01:02 2026' },
      { pid: 812, parentPid: 800, pgrp: 800, state: 'T', threads: 1, startTime: 'Sun Nov  1 14:51:40 2026' },
      { pid: 813, parentPid: 812, pgrp: 800, state: 'Z', threads: 1, startTime: 'Sun Nov 22 14:51:41 2026' },
    ])
  })
})

describe.skipIf(process.platform === 'win32')('given this machine', () => {
  it.each(['linux', 'darwin'] as const)('the table of %s > has this process', async (platform) => {
    // /proc only on Linux; ps everywhere.
    if (platform === 'linux' && process.platform !== 'linux') return
    const table = createProcessTable(platform)!
    const found = await table.find(process.pid)
    expect(found, 'find the process by its pid').toMatchObject({ pid: process.pid })
    const listed = (await table.list()).find((row) => row.pid === process.pid)
    expect(listed?.startTime, 'a process has one start time').toBe(found?.startTime)
    expect(await table.find(2 ** 30), 'no process has this pid').toBeUndefined()
  })

  it('its boot > has one name', async () => {
    const table = createProcessTable(process.platform)!
    expect(await table.bootId(), 'name the boot').toMatch(/^[0-9a-fA-F-]{36}$/)
    expect(await table.bootId(), 'the name stays').toBe(await table.bootId())
  })

  it('Windows > has no table', () => {
    expect(createProcessTable('win32'), 'nothing can be verified there').toBeUndefined()
  })
})
