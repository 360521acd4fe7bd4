// A catalog file with many models at once: written in one transaction, past the store, which makes
// each of its writes durable.
import { DatabaseSync } from 'node:sqlite';
import { versionKey } from '../../catalog/catalog.ts';
import type { PlannedModel } from '../../control/plan.ts';
import { openSqliteDocuments } from '../../stores/documents/sqlite.ts';

export async function fillCatalog(path: string, models: readonly PlannedModel[]): Promise<void> {
  await openSqliteDocuments(path).close();
  const database = new DatabaseSync(path);
  const insert = database.prepare('INSERT INTO documents VALUES (?, ?, 1, ?)');
  database.exec('BEGIN');
  for (const { model, versions } of models) {
    insert.run('model', model.name, JSON.stringify(model));
    for (const version of versions) {
      const key = versionKey(version.model, version.version);
      insert.run('version', key, JSON.stringify(version));
    }
  }
  database.exec('COMMIT');
  database.close();
}
