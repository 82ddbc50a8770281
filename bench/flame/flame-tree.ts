/** What a CPU profile says of a thread, as a tree of functions with their times. Pure. */

/** A part of a CPU profile as V8 writes it. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string }
    readonly children?: readonly number[] | undefined
  }[]
  /** Which node ran, sample by sample. */
  readonly samples?: readonly number[] | undefined
  /** From the sample before to each sample, µs. */
  readonly timeDeltas?: readonly number[] | undefined
}

/** Whose code a function is. */
export type Owner = 'downlink' | 'node' | 'library' | 'engine'

/** A function as called by the one that it hangs from. */
export interface FlameNode {
  readonly name: string
  readonly owner: Owner
  /** With what it calls, µs. */
  readonly totalUs: number
  /** The dearest first. */
  readonly children: readonly FlameNode[]
}

interface Building {
  readonly name: string
  readonly owner: Owner
  totalUs: number
  readonly children: Map<string, Building>
}

/** The times of a thread at work; when it waited, or profiled itself, is left out. Calls of one function from the same place are one node. */
export function flameTree({ nodes, samples = [], timeDeltas = [] }: CpuProfile): FlameNode {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const root = building('all', 'engine')
  for (const [index, id] of samples.entries()) {
    const stack: { readonly name: string; readonly owner: Owner }[] = []
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const frame = byId.get(at)?.callFrame
      if (frame !== undefined && frame.functionName !== '(root)') stack.push(named(frame))
    }
    if (stack.some(({ name }) => name === '(idle)' || name.endsWith(' bench/self-profile.ts'))) continue
    let node = root
    node.totalUs += timeDeltas[index] ?? 0
    for (const { name, owner } of stack.reverse()) {
      const child = node.children.get(name) ?? building(name, owner)
      node.children.set(name, child)
      child.totalUs += timeDeltas[index] ?? 0
      node = child
    }
  }
  return finished(root)
}

function building(name: string, owner: Owner): Building {
  return { name, owner, totalUs: 0, children: new Map() }
}

function finished({ name, owner, totalUs, children }: Building): FlameNode {
  const ordered = [...children.values()].map(finished).sort((a, b) => b.totalUs - a.totalUs)
  return { name, owner, totalUs, children: ordered }
}

/** A function and where it is, without what is of one machine only. */
function named({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): {
  name: string
  owner: Owner
} {
  const name = functionName === '' ? '(anonymous)' : functionName
  if (url === '') return { name, owner: 'engine' }
  if (url.startsWith('node:')) return { name: `${name} ${url}`, owner: 'node' }
  const library = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1]
  if (library !== undefined && !library.startsWith('@downlink/'))
    return { name: `${name} ${library}`, owner: 'library' }
  return {
    name: `${name} ${url
      .replace(/.*\/packages\//, '')
      .replace('/src/', '/')
      .replace(/.*\/bench\//, 'bench/')}`,
    owner: 'downlink',
  }
}
