/** The shape of the database, as the numbered steps that lead to it; steps are only ever added. */
import type { DatabaseSync } from 'node:sqlite'
import { SqliteFailure } from './sqlite-failure.ts'

/** One step. `PRAGMA user_version` is the number of the last one taken. */
export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** Marks a database as Downlink's (`PRAGMA application_id`): the letters DLNK. */
const APPLICATION_ID = 0x444c_4e4b

/** Every step, in order. */
export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    name: 'initial',
    sql: `
      CREATE TABLE documents (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        version INTEGER NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (bucket, key)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE history (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        agent_id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        control_id TEXT,
        task_id TEXT,
        json TEXT NOT NULL
      ) STRICT;
      CREATE INDEX history_by_agent ON history (agent_id, sequence);
      CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
      INSERT INTO meta (name, value) VALUES ('epoch', 0), ('service_ms', 0);
    `,
  },
  {
    version: 2,
    name: 'history of one control',
    sql: `CREATE INDEX history_by_control ON history (control_id, sequence) WHERE control_id IS NOT NULL;`,
  },
]

/**
 * Refuses a file that is not ours, before anything of it is changed.
 * @throws SqliteFailure
 */
export function assertOurs(database: DatabaseSync, file: string): void {
  const applicationId = pragma(database, 'application_id')
  if (applicationId === APPLICATION_ID) return
  const { count } = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get() as { count: number }
  if (applicationId === 0 && count === 0) return
  throw new SqliteFailure(
    'store_unavailable',
    `${file} is the database of another program, so it was left as it is. Give the hub a data directory of its own.`,
  )
}

/**
 * Takes the steps that the database has not seen, each in a transaction of its own.
 * @throws SqliteFailure if a newer Downlink has written the database.
 */
export function migrate(database: DatabaseSync, migrations: readonly Migration[], file: string): void {
  const present = pragma(database, 'user_version')
  const known = migrations.at(-1)?.version ?? 0
  if (present > known) {
    throw new SqliteFailure(
      'store_unavailable',
      `${file} was written by a newer Downlink (database version ${present}; this one knows up to ${known}), so it was ` +
        'left as it is. Start that newer version again, or restore a backup from before the upgrade.',
    )
  }
  for (const { version, sql } of migrations.filter((migration) => migration.version > present)) {
    database.exec('BEGIN IMMEDIATE')
    database.exec(sql)
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    database.exec(`PRAGMA user_version = ${version}`)
    database.exec('COMMIT')
  }
}

function pragma(database: DatabaseSync, name: 'application_id' | 'user_version'): number {
  const row = database.prepare(`PRAGMA ${name}`).get()
  return Number(row?.[name] ?? 0)
}
