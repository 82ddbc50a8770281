/** Ids and tokens: what is made can be taken apart, and what is not one is refused. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  agentOfControl,
  controlIdOf,
  formatToken,
  isAction,
  isAgentId,
  isTaskId,
  parseToken,
  type TokenKind,
} from './ids.ts'

const letters = (alphabet: string, minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...alphabet.split('')), minLength, maxLength })
const ALNUM = 'ABCXYZabcxyz0189'
const agentId = fc
  .tuple(letters(ALNUM, 1, 1), letters(`${ALNUM}._:@-`, 0, 127))
  .map(([first, rest]) => `${first}${rest}`)
const keyPart = letters(`${ALNUM}_-`, 8, 128)

describe('given a token (R-60)', () => {
  test('of any parts > is taken apart into the same, and only as its own kind', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<TokenKind>('agent', 'enrollment', 'operator'),
        agentId,
        keyPart,
        keyPart,
        (kind, owner, keyId, secret) => {
          const parts = { kind, owner: kind === 'agent' ? owner : '', keyId, secret }
          const token = formatToken(parts)
          expect(token, 'a token goes into a header').toMatch(/^[A-Za-z0-9._-]+$/)
          expect(parseToken(kind, token)).toEqual(parts)
          for (const other of ['agent', 'enrollment', 'operator'] as const) {
            if (other !== kind) expect(parseToken(other, token)).toBeUndefined()
          }
        },
      ),
    )
  })

  test.each([
    '',
    'dla',
    'dla...',
    'dla.6.keykeykey.secretsecret',
    'dla.zz.keykeykey.secretsecret',
    'dla.6A.keykeykey.secretsecret',
    'dla..keykeykey.secretsecret',
    'dla.2e.keykeykey.secretsecret',
    'dla.00.keykeykey.secretsecret',
    'dla.61.short.secretsecret',
    'dla.61.keykeykey.short',
    'dla.61.keykeykey.secretsecret.more',
    'dla.61.keykeykey.secret secret',
    'dla.61.keykeykey.secretsecret\n',
    ' dla.61.keykeykey.secretsecret',
    `dla.${'61'.repeat(129)}.keykeykey.secretsecret`,
  ])('"%s" > is none', (token) => {
    expect(parseToken('agent', token)).toBeUndefined()
  })

  test('any text > is refused or is one, without a throw', () => {
    fc.assert(
      fc.property(fc.string(), (token) => {
        const parts = parseToken('operator', token)
        if (parts !== undefined) expect(formatToken(parts)).toBe(token)
      }),
    )
  })
})

describe('given a control id (R-60)', () => {
  test('of any agent > says which', () => {
    fc.assert(
      fc.property(agentId, keyPart, (agent, unique) => {
        expect(agentOfControl(controlIdOf(agent, unique))).toBe(agent)
      }),
    )
  })

  test.each(['', '~', 'agent', 'agent~', '~x', ' a~x', '__proto__~x'])('"%s" > is not one of ours', (id) => {
    expect(agentOfControl(id)).toBeUndefined()
  })
})

describe('given names', () => {
  test.each(['a', 'A1', '0', 'host.example:8080', 'a@b', 'x'.repeat(128)])('%s > names an agent', (id) => {
    expect(isAgentId(id)).toBe(true)
  })

  test.each(['', '.a', '-a', 'a b', 'a/b', 'a~b', 'ä', 'a\n', 'x'.repeat(129), 5, null])(
    '%j > names none',
    (id) => {
      expect(isAgentId(id)).toBe(false)
    },
  )

  test.each(['a', '!', '~', '../x', 'x'.repeat(128)])('%s > names a task', (id) => {
    expect(isTaskId(id)).toBe(true)
  })

  test.each(['', ' ', 'a b', 'a\u0000', 'ä', '\u007f', 'a\n', 'x'.repeat(129), 5, undefined])(
    '%j > names no task',
    (id) => {
      expect(isTaskId(id)).toBe(false)
    },
  )

  test.each(['cancel', 'a', 'set-speed', 'a.b_c9', 'x'.repeat(64)])('%s > is a verb', (action) => {
    expect(isAction(action)).toBe(true)
  })

  test.each(['', 'Cancel', '9a', '-a', 'a b', 'a:b', '__proto__', 'a\n', 'x'.repeat(65), 5])(
    '%j > is none',
    (action) => {
      expect(isAction(action)).toBe(false)
    },
  )
})
