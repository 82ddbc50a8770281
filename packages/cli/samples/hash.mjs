#!/usr/bin/env node
// Computes the SHA-256 of the files below a folder again and again, and checks that every round agrees with the first.
//
// Input, JSON on standard input, every member optional:
//   {"folder":"...", "seconds":75, "rounds":3}
//   folder   what is read; the Node installation that runs this by default
//   seconds  of processor time to spend, at least two rounds; a pause does not count, since it takes none
//   rounds   exactly so many, instead of seconds
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'

const FILES_MAX = 2_000
const BYTES_MAX = 256 * 1024 * 1024
const DEPTH_MAX = 16
const SECONDS_DEFAULT = 75
const PROGRESS_BYTES = 32 * 1024 * 1024

class InputError extends Error {}

async function readInput() {
  const chunks = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString().trim()
  let input
  try {
    input = text === '' ? {} : JSON.parse(text)
  } catch {
    throw new InputError('The input is no JSON: send {"folder":"...","seconds":75}.')
  }
  const { folder = resolve(dirname(process.execPath), '..'), seconds = SECONDS_DEFAULT, rounds } = input ?? {}
  if (typeof folder !== 'string') throw new InputError('folder must be a string.')
  if (!(seconds > 0 && seconds <= 86_400)) throw new InputError('seconds must be more than 0, at most 86400.')
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100_000))
    throw new InputError('rounds must be a whole number from 1 to 100000.')
  return { folder, seconds, rounds }
}

/** The files below `folder` in order of their names, within FILES_MAX and BYTES_MAX; links are not followed. */
async function listFiles(folder) {
  const files = []
  let bytes = 0
  const walk = async (below, depth) => {
    const entries = await readdir(below, { withFileTypes: true }).catch((error) => {
      if (depth === 0) throw new InputError(`The folder ${folder} cannot be read: ${error.code}.`)
      return []
    })
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (files.length >= FILES_MAX) return
      const path = join(below, entry.name)
      if (entry.isDirectory() && depth < DEPTH_MAX) await walk(path, depth + 1)
      if (!entry.isFile()) continue
      const size = await stat(path).then(
        (facts) => facts.size,
        () => Infinity,
      )
      if (bytes + size > BYTES_MAX) continue
      bytes += size
      files.push(path)
    }
  }
  await walk(folder, 0)
  return { files, bytes }
}

async function hashRound(folder, files, onBytes) {
  const hash = createHash('sha256')
  for (const path of files) {
    hash.update(`${relative(folder, path)}\0`)
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) {
      hash.update(chunk)
      onBytes(chunk.length)
    }
  }
  return hash.digest('hex')
}

function processorSeconds() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function main() {
  const { folder, seconds, rounds } = await readInput()
  const { files, bytes } = await listFiles(folder)
  if (files.length === 0) throw new InputError(`The folder ${folder} has no file to read.`)
  console.log(`Hashing ${files.length} files, ${bytes} bytes, below ${folder}.`)
  const startedAt = processorSeconds()
  let done = 0
  let bytesRead = 0
  let unreportedBytes = 0
  let first
  const fraction = () =>
    Math.min(
      1,
      rounds === undefined
        ? (processorSeconds() - startedAt) / seconds
        : bytesRead / Math.max(1, bytes * rounds),
    )
  const isEnough = () => (rounds === undefined ? done >= 2 && fraction() >= 1 : done >= rounds)
  while (!isEnough()) {
    const sum = await hashRound(folder, files, (count) => {
      bytesRead += count
      unreportedBytes += count
      if (unreportedBytes < PROGRESS_BYTES) return
      unreportedBytes = 0
      console.log(
        `::progress ${fraction().toFixed(3)} round ${done + 1}, ${Math.round(bytesRead / 1e6)} MB read`,
      )
    })
    first ??= sum
    if (sum !== first)
      throw new Error(`Round ${done + 1} differs from the first: a file has changed meanwhile.`)
    done += 1
  }
  console.log(`::progress 1 ${done} rounds agree`)
  console.log(`::result ${JSON.stringify({ files: files.length, bytes, rounds: done, sha256: first })}`)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = error instanceof InputError ? 2 : 1
})
