/** How an agent reaches its hub: the options of the command line, checked before anything is dialled. */
import type { AgentTls, DownlinkMode } from '@downlink/agent'
import { limits } from '@downlink/protocol'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { CommandError, EXIT } from './exit-codes.ts'

/** The options as commander leaves them. */
export interface NetworkFlags {
  readonly hub?: readonly string[]
  readonly mode?: DownlinkMode
  readonly proxy?: string
  readonly ca?: readonly string[]
  readonly allowPlainHttp?: boolean
}

/** The same as options of the agent. */
export interface AgentNetwork {
  readonly allowPlainHttp: boolean
  readonly mode?: DownlinkMode
  readonly proxy?: string | false
  readonly tls?: AgentTls
}

/** Adds the options. */
export function withNetworkOptions(command: Command): Command {
  return command
    .option(
      '--hub <url>',
      'the hub; found in ./.downlink when it runs from this folder; may stand several times, for mirrors',
      hubArgument,
    )
    .addOption(
      new Option(
        '--mode <mode>',
        'how news reach it: by a stream, by long-polling, or as it goes; auto unless told',
      ).choices(['auto', 'sse', 'poll']),
    )
    .option(
      '--proxy <url>',
      'the proxy to a hub on https, or none; that of HTTPS_PROXY and NO_PROXY unless told',
    )
    .option(
      '--ca <file>',
      'PEM file of a certificate authority to trust beside those of the machine; may stand several times',
      fileArgument,
    )
    .option('--allow-plain-http', 'send the credential unencrypted to a hub on another machine')
}

/** Reads what the options name. @throws CommandError `usage` for a proxy that is no URL, or a file that is no certificate. */
export async function networkOf(cwd: string, flags: NetworkFlags): Promise<AgentNetwork> {
  const { mode, proxy, ca, allowPlainHttp = false } = flags
  const extraCa =
    ca === undefined ? undefined : await Promise.all(ca.map((file) => readCa(resolve(cwd, file))))
  return {
    allowPlainHttp,
    ...(mode === undefined ? {} : { mode }),
    ...(proxy === undefined ? {} : { proxy: checkedProxy(proxy) }),
    ...(extraCa === undefined ? {} : { tls: { extraCa } }),
  }
}

function hubArgument(text: string, before: readonly string[] = []): readonly string[] {
  const { protocol } = URL.canParse(text) ? new URL(text) : {}
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new InvalidArgumentError('Give a URL such as https://hub.example.com.')
  }
  if (before.length >= limits.MIRRORS_MAX) {
    throw new InvalidArgumentError(`Name at most ${limits.MIRRORS_MAX} URLs of one hub.`)
  }
  return [...before, text]
}

function fileArgument(file: string, before: readonly string[] = []): readonly string[] {
  return [...before, file]
}

/** Not by commander, which would show what is wrong, and that may hold a password. */
function checkedProxy(text: string): string | false {
  if (text === 'none') return false
  const { protocol } = URL.canParse(text) ? new URL(text) : {}
  if (protocol === 'https:' || protocol === 'http:') return text
  throw new CommandError(
    EXIT.usage,
    'The value of --proxy is no URL. Give one such as http://proxy.example.com:3128, or none.',
  )
}

async function readCa(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new CommandError(EXIT.usage, `The certificate file ${file} cannot be read. Check --ca.`, {
      cause: error,
    })
  }
  try {
    void new X509Certificate(text)
  } catch (error) {
    throw new CommandError(
      EXIT.usage,
      `${file} holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----. Check --ca.`,
      { cause: error },
    )
  }
  return text
}
