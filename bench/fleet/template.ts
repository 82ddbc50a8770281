/** The database with all agents enrolled, made once per run and copied for each hub. */
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startChild } from '../child.ts'
import { scratchFolder } from './scratch.ts'

/** A copy of the template. */
export interface FleetFolder {
  readonly folder: string
  readonly keysFile: string
  readonly token: string
}

let template: { readonly folder: string; readonly agents: number } | undefined

/** A folder with a database in which `agents` agents are enrolled. */
export async function fleetFolder(agents: number): Promise<FleetFolder> {
  if (template === undefined || template.agents < agents) template = await makeTemplate(agents)
  const folder = scratchFolder('hub')
  copyFileSync(join(template.folder, 'hub.db'), join(folder, 'hub.db'))
  return {
    folder,
    keysFile: join(template.folder, 'keys'),
    token: readFileSync(join(template.folder, 'token'), 'utf8'),
  }
}

async function makeTemplate(agents: number): Promise<{ folder: string; agents: number }> {
  const folder = scratchFolder('template')
  await using child = startChild('fleet/template-process.ts', [folder, String(agents)])
  await child.ask({})
  return { folder, agents }
}
