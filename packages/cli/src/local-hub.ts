/** A hub in this process: its database, its operator token, its server, and where the other commands find them. */
import { createOperatorClient, HttpError, type OperatorClient } from '@downlink/client'
import {
  createHub,
  createOperatorToken,
  openSqliteStore,
  type DrainHubOptions,
  type Hub,
  type HubOptions,
  type Store,
} from '@downlink/hub'
import type { Logger } from '@downlink/protocol'
import type { CommandContext } from './command-context.ts'
import {
  hasCode,
  makePrivateFolder,
  readTokenFile,
  writeHubUrl,
  writePrivateFile,
  type DataFolder,
} from './discovery.ts'
import { CommandError, EXIT } from './exit-codes.ts'
import { createLineLogger } from './line-logger.ts'

/** Where a hub listens and keeps its data. */
export interface LocalHubOptions {
  readonly folder: DataFolder
  readonly port: number
  readonly host: string
  /** Such as `up`: for the message about a port that is taken. */
  readonly command: string
  /** What `createHub` is told beside where it is and who looks. */
  readonly tuning?: Partial<Omit<HubOptions, 'store' | 'clock' | 'random' | 'logger'>>
  readonly drain?: DrainHubOptions
  /** @defaultValue what is grave, as text */
  readonly logger?: Logger
}

/** A running hub. Disposing of it drains it and closes its database. */
export interface LocalHub extends AsyncDisposable {
  /** Where this machine reaches it. */
  readonly url: URL
  readonly client: OperatorClient
}

/**
 * Starts a hub on the data in `folder`, which is made if it is missing.
 * @throws CommandError `failed` for a port or host that cannot be had; StoreError for a database that is in use or broken.
 */
export async function startLocalHub(context: CommandContext, options: LocalHubOptions): Promise<LocalHub> {
  const { folder, tuning, drain } = options
  const { clock, random, output } = context
  await makePrivateFolder(folder.path)
  const { logger = createLineLogger(output, 'hub') } = options
  const store = await openSqliteStore({ file: folder.databaseFile, clock, logger })
  let hub: Hub | undefined
  const stop = async (): Promise<void> => {
    await hub?.drain(drain)
    await store[Symbol.asyncDispose]()
  }
  try {
    hub = await createHub({ ...tuning, store, clock, random, logger })
    const url = reachableUrl(await listen(hub, options))
    const client = await clientWithToken(context, store, folder.tokenFile, url)
    await writeHubUrl(folder, url)
    return { url, client, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function listen(hub: Hub, { port, host, command }: LocalHubOptions): Promise<URL> {
  try {
    return await hub.listen({ port, host })
  } catch (error) {
    if (hasCode(error, 'EADDRINUSE')) {
      throw new CommandError(
        EXIT.failed,
        `Port ${port} on ${host} is taken. If a hub of yours has it, use that one: downlink agents. Else choose another port, 0 for any free one: downlink ${command} --port ${port + 1}`,
        { cause: error },
      )
    }
    if (hasCode(error, 'EADDRNOTAVAIL') || hasCode(error, 'ENOTFOUND')) {
      throw new CommandError(
        EXIT.usage,
        `This machine has no address ${host}. Give one that it has, or 0.0.0.0 for all of them: --host`,
        { cause: error },
      )
    }
    if (hasCode(error, 'EACCES')) {
      throw new CommandError(
        EXIT.failed,
        `Port ${port} is for the administrator only. Choose one above 1023: --port`,
        { cause: error },
      )
    }
    throw error
  }
}

/** A client with the token in `file`; a new one is made when there is none, or when this database does not know it. */
async function clientWithToken(
  context: CommandContext,
  store: Store,
  file: string,
  url: URL,
): Promise<OperatorClient> {
  const { clock, random } = context
  const known = await readTokenFile(file)
  if (known !== undefined && known !== '') {
    const client = createOperatorClient({ url, token: known, clock, random })
    if (await isAccepted(client)) return client
  }
  const { token } = await createOperatorToken(store, { name: 'command', scopes: ['admin'] }, clock)
  await writePrivateFile(file, `${token}\n`)
  return createOperatorClient({ url, token, clock, random })
}

async function isAccepted(client: OperatorClient): Promise<boolean> {
  try {
    for await (const _ of client.agents()) break
    return true
  } catch (error) {
    if (error instanceof HttpError && error.status === 401) return false
    throw error
  }
}

/** A hub on all addresses is reached from here by loopback. */
function reachableUrl(url: URL): URL {
  const reachable = new URL(url)
  if (url.hostname === '0.0.0.0') reachable.hostname = '127.0.0.1'
  if (url.hostname === '[::]') reachable.hostname = '[::1]'
  return reachable
}
