import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { closeVersion, newDataset, openVersion, recordVersion } from './datasets.ts';
import { CATALOG_SCHEMA, type DatasetVersionDoc } from './documents.ts';

const COLUMNS = [{ name: 'x', type: 'FLOAT64' as const, isNullable: false }];

const version = (given: Partial<DatasetVersionDoc> = {}): DatasetVersionDoc => ({
  schema: CATALOG_SCHEMA,
  dataset: 'd',
  version: 1,
  state: 'OPEN',
  columns: COLUMNS,
  accepted: 0,
  rejected: 0,
  source: 'jobs/j',
  createdMs: 0,
  ...given,
});

const isRefused = (change: () => unknown): boolean => {
  try {
    change();
    return false;
  } catch (error) {
    return error instanceof StatusError && error.code === Code.FAILED_PRECONDITION;
  }
};

test('one version is open at a time; the next gets the next number', (t) => {
  const first = openVersion(newDataset('d', 0), COLUMNS, 1);
  t.like(first, { openVersion: 1, nextVersion: 2, columns: COLUMNS });
  t.is(openVersion(first, [], 2), first);
  const sealed = closeVersion(first, 1, true, 3);
  t.like(sealed, { openVersion: 0, sealedVersion: 1 });
  t.like(openVersion(sealed, [], 4), { openVersion: 2, nextVersion: 3, sealedVersion: 1 });
});

test('a schema that was declared is not replaced by an inferred one', (t) => {
  const other = [{ name: 'y', type: 'STRING' as const, isNullable: true }];
  t.deepEqual(openVersion(newDataset('d', 0, { columns: COLUMNS }), other, 1).columns, COLUMNS);
  t.true(isRefused(() => openVersion(newDataset('d', 0), [], 1)));
});

test('a schema inferred from a version that was given up is forgotten, others stay', (t) => {
  const inferred = openVersion(newDataset('d', 0), COLUMNS, 1);
  t.like(closeVersion(inferred, 1, false, 2), { columns: [], openVersion: 0, nextVersion: 2 });
  const second = openVersion(closeVersion(inferred, 1, true, 2), [], 3);
  t.deepEqual(closeVersion(second, 2, false, 4).columns, COLUMNS);
  const declared = openVersion(newDataset('d', 0, { columns: COLUMNS }), [], 1);
  t.deepEqual(closeVersion(declared, 1, false, 2).columns, COLUMNS);
});

test('closing twice, or a version that is not open, changes nothing', (t) => {
  const sealed = closeVersion(openVersion(newDataset('d', 0), COLUMNS, 1), 1, true, 2);
  t.is(closeVersion(sealed, 1, true, 3), sealed);
  const given = closeVersion(openVersion(sealed, [], 3), 2, false, 4);
  t.like(given, { openVersion: 0, sealedVersion: 1, nextVersion: 3 });
});

test('a sealed or failed version changes no more', (t) => {
  const sealed = recordVersion(version(), 'SEALED', { accepted: 3, rejected: 1 });
  t.like(sealed, { state: 'SEALED', accepted: 3, rejected: 1 });
  t.is(recordVersion(sealed, 'SEALED', { accepted: 9, rejected: 9 }), sealed);
  t.true(isRefused(() => recordVersion(sealed, 'OPEN', { accepted: 4, rejected: 1 })));
  t.true(isRefused(() => recordVersion(sealed, 'FAILED', { accepted: 4, rejected: 1 })));
  const failed = recordVersion(version(), 'FAILED', { accepted: 0, rejected: 1 });
  t.true(isRefused(() => recordVersion(failed, 'SEALED', { accepted: 4, rejected: 1 })));
});
