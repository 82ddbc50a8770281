import { describe, expect, it } from 'vitest'
import { compileCommand, taskEnvironment } from './process-command.ts'

describe('given a command with placeholders', () => {
  const fill = compileCommand(['tool', '--name', '{name}', '{count}', 'x{name}', '{}', '$HOME'], {
    name: '[a-z]+|-rf',
    count: '[0-9e+-]+',
  })

  it('input that fits > stands in the arguments, nothing else is touched', () => {
    expect(fill({ name: 'abc', count: 3 }), 'fill whole arguments only').toEqual([
      'tool',
      '--name',
      'abc',
      '3',
      'x{name}',
      '{}',
      '$HOME',
    ])
  })

  it.each([
    ['an option, though the pattern allows it', { name: '-rf', count: 1 }],
    ['a negative number', { name: 'a', count: -1 }],
    ['part of it outside of the pattern', { name: 'abc; rm', count: 1 }],
    ['a line end after it', { name: 'abc\n', count: 1 }],
    ['NUL', { name: 'a\u0000', count: 1 }],
    ['nothing', { count: 1 }],
    ['an object', { name: {}, count: 1 }],
    ['a boolean', { name: true, count: 1 }],
    ['an inherited member', JSON.parse('{"count":1}') as { count: number }],
    ['no object', 'abc'],
    ['null', null],
  ])('%s > is bad_input', (_what, input) => {
    expect(() => fill(input), 'refuse it before anything starts').toThrow(
      expect.objectContaining({ code: 'bad_input', message: expect.stringContaining('nothing was started') }),
    )
  })

  it('a pattern that closes the group around it > is refused', () => {
    expect(() => compileCommand(['tool', '{a}'], { a: 'x)|(?:.*' }), 'keep it inside its anchors').toThrow(
      /no regular expression/,
    )
  })

  it.each([
    ['no program', []],
    ['an empty program', ['']],
    ['a program from the input', ['{name}']],
    ['an option for a program', ['-c', 'x']],
    ['a placeholder without a pattern', ['tool', '{other}']],
    ['a placeholder named like a member of every object', ['tool', '{constructor}']],
    ['NUL', ['tool', 'a\u0000b']],
  ])('%s > is bad_config', (_what, command) => {
    expect(() => compileCommand(command, { name: '.*' }), 'refuse it when the agent starts').toThrow(
      expect.objectContaining({ code: 'bad_config' }),
    )
  })
})

describe("given the agent's environment", () => {
  const inherited = {
    PATH: '/bin',
    HOME: '/h',
    LANG: 'C',
    LC_ALL: 'C',
    TZ: 'UTC',
    TMPDIR: '/t',
    DOWNLINK_TOKEN: 's',
  }

  it('a task > inherits the harmless part, and has what is added', () => {
    expect(
      taskEnvironment(
        { ...inherited, HTTPS_PROXY: 'http://user:password@proxy', Path: 'x' },
        { PATH: '/p' },
        'linux',
      ),
      'inherit only what is listed',
    ).toEqual({ PATH: '/p', HOME: '/h', LANG: 'C', LC_ALL: 'C', TZ: 'UTC', TMPDIR: '/t' })
  })

  it('on Windows > names are blind to case', () => {
    expect(taskEnvironment({ Path: 'x', SystemRoot: 'y', Secret: 'z' }, {}, 'win32'), 'keep Path').toEqual({
      Path: 'x',
      SystemRoot: 'y',
    })
  })
})
