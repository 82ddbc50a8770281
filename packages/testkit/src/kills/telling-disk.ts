/** The disk of this machine, telling before and after every step with which a journal is written anew. */
import { realDisk, type JournalDisk, type JournalFile } from '@downlink/agent/internal'

/** Calls `tell` at each of those steps: a process that is killed in it has left any state that there can be. */
export function tellingDisk(tell: () => void): JournalDisk {
  const around = async <T>(step: () => Promise<T>): Promise<T> => {
    tell()
    const result = await step()
    tell()
    return result
  }
  return {
    ...realDisk,
    async create(path) {
      const file = await around(() => realDisk.create(path))
      const telling: Pick<JournalFile, 'sync'> = { sync: () => around(() => file.sync()) }
      return {
        write: file.write.bind(file),
        datasync: () => file.datasync(),
        truncate: (length) => file.truncate(length),
        close: () => file.close(),
        ...telling,
      } as JournalFile
    },
    rename: (from, to) => around(() => realDisk.rename(from, to)),
    syncDirectory: (path) => around(() => realDisk.syncDirectory(path)),
  }
}
