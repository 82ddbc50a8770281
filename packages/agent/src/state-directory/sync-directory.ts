/** Makes a rename survive a power cut: a file's own sync says nothing of the name that it stands under. */
import { open } from 'node:fs/promises'

/** Resolves once the names in `directory` are on disk. */
export async function syncDirectory(directory: string): Promise<void> {
  // Windows opens no directory; there a rename stands in the file system's own journal.
  if (process.platform === 'win32') return
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
