import test from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { ModelTable, type ServedVersion, type VersionStatus } from './model-table.ts';

/** Stands for what serves a version; the table only hands it out. */
function served(version: number): ServedVersion {
  return { signature: { model: 'm', version } } as unknown as ServedVersion;
}

function status(version: number, part: Partial<VersionStatus> = {}): VersionStatus {
  const base = { model: 'm', version, reason: '', weight: 1 };
  return { ...base, state: 'READY', served: served(version), ...part };
}

function tableOf(...statuses: readonly VersionStatus[]): ModelTable {
  const table = new ModelTable();
  for (const one of statuses) table.set(one);
  return table;
}

const chosen = (table: ModelTable): number => table.find('m', '').signature.version;
const LOADING = { state: 'LOADING', served: undefined } as const;

test('without a version: the largest share, then the newest', (t) => {
  t.is(chosen(tableOf(status(1), status(2))), 2);
  t.is(chosen(tableOf(status(1, { weight: 0.9 }), status(2, { weight: 0.1 }))), 1);
  t.is(chosen(tableOf(status(1, { weight: 0.5 }), status(2, { weight: 0 }))), 1);
});

test('one that is being replaced serves while what has the share is not up', (t) => {
  const table = tableOf(status(1, { weight: undefined }), status(2, LOADING));
  t.is(chosen(table), 1);
  table.set(status(2));
  t.is(chosen(table), 2);
  table.remove('m', 2);
  t.is(chosen(table), 1);
});

test('a version without a share is reached by its number only', (t) => {
  const table = tableOf(status(3, { weight: 0 }));
  t.throws(() => table.find('m', ''), {
    instanceOf: StatusError,
    message: "Request for unknown model: 'm' has no available versions",
  });
  t.is(table.find('m', '3').signature.version, 3);
  t.true(table.isReady('m', '3'));
  t.false(table.isReady('m', ''));
});

test('a known version that is not up is UNAVAILABLE, with its reason', (t) => {
  const table = tableOf(status(1), status(2, { ...LOADING, state: 'FAILED', reason: 'truncated' }));
  const error = t.throws(() => table.find('m', '2'), { instanceOf: StatusError });
  t.is(error?.code, Code.UNAVAILABLE);
  t.regex(error?.message ?? '', /version 2 is not at ready state \(FAILED: truncated\)/);
  t.deepEqual(table.readyVersions('m'), [1]);
});

test('a model whose last version goes is unknown', (t) => {
  const table = tableOf(status(1));
  table.remove('m', 1);
  t.throws(() => table.find('m', ''), { message: "Request for unknown model: 'm' is not found" });
});
