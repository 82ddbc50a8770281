/** Pictures of CPU profiles. */
import { describe, expect, test } from 'vitest'
import { flameGraph } from './flame-svg.ts'
import { flameTree, type CpuProfile } from './flame-tree.ts'

const node = (
  id: number,
  functionName: string,
  url: string,
  ...children: number[]
): CpuProfile['nodes'][number] => ({
  id,
  callFrame: { functionName, url },
  children,
})

const PROFILE: CpuProfile = {
  nodes: [
    node(1, '(root)', '', 2, 3, 4, 9, 11),
    node(2, '(idle)', ''),
    node(3, '(garbage collector)', ''),
    node(4, 'tick', 'file:///somewhere/of/mine/packages/hub/src/delivery/wheel.ts', 5, 6),
    node(5, 'write', 'node:net', 7),
    node(6, 'write', 'node:net'),
    node(7, 'writev', ''),
    node(9, '', 'file:///somewhere/node_modules/fastify/lib/x.js', 10),
    node(11, 'begin', 'file:///somewhere/of/mine/bench/self-profile.ts', 12),
    node(12, 'post', 'node:inspector'),
    node(10, '<b>', 'file:///somewhere/of/mine/bench/fleet/hub-process.ts'),
  ],
  samples: [2, 12, 3, 5, 6, 7, 10],
  timeDeltas: [1_000, 5_000, 10, 20, 30, 40, 100],
}

describe('given a profile', () => {
  const tree = flameTree(PROFILE)

  test('when it waited or profiled itself > that is left out, the rest adds up', () => {
    expect(tree.totalUs).toBe(200)
    expect(tree.children.map(({ name, totalUs }) => [name, totalUs])).toEqual([
      ['(anonymous) fastify', 100],
      ['tick hub/delivery/wheel.ts', 90],
      ['(garbage collector)', 10],
    ])
  })

  test('when a function is called from one place in two ways > it is one node', () => {
    const write = tree.children[1]?.children[0]
    expect(write).toMatchObject({ name: 'write node:net', owner: 'node', totalUs: 90 })
    expect(write?.children).toMatchObject([{ name: 'writev', owner: 'engine', totalUs: 40 }])
  })

  test('when it is of some machine > its picture does not tell where the code lay', () => {
    const picture = flameGraph(tree, 'POSTs & <batches>')
    expect(picture).not.toMatch(/somewhere|mine/)
    expect(picture).toContain('POSTs &amp; &lt;batches&gt;')
    expect(picture).toContain('&lt;b&gt; bench/fleet/hub-process.ts: 50.0 %')
  })

  test('when a function took next to nothing > the picture leaves it out', () => {
    const samples = [...Array.from({ length: 1_000 }, () => 3), 7]
    const picture = flameGraph(flameTree({ ...PROFILE, samples, timeDeltas: samples.map(() => 1) }), 'all')
    expect(picture).toContain('(garbage collector)')
    expect(picture).not.toContain('writev')
  })
})
