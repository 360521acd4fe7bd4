import test from 'ava';
import { openDatasetVersion, recordCounts } from '../../catalog/datasets.ts';
import { Code } from '../../common/status.ts';
import { ColumnType, type DataSet } from '../../proto/gen/torus/v1/data_set.ts';
import { DataSetFormat } from '../../proto/gen/torus/v1/job.ts';
import { adminWorld, outcomeOf } from '../../test/support/admin-world.ts';

const COLUMNS = [
  { name: 'x', type: ColumnType.FLOAT64, nullable: false },
  { name: 'y', type: ColumnType.STRING, nullable: true },
];

const dataSet = (given: Partial<DataSet> = {}): DataSet => ({
  name: '',
  description: '',
  schema: { columns: COLUMNS, targetColumn: 'y' },
  latestSealedVersion: 0n,
  createTime: undefined,
  updateTime: undefined,
  etag: '',
  ...given,
});

async function worldOf(t: { teardown(end: () => Promise<void>): void }) {
  const world = await adminWorld((end) => t.teardown(end));
  const { catalog, datasets: rows } = world;
  return {
    ...world,
    /** What an import job does: rows into the open version, then its counts into the catalog. */
    async fill(name: string, rowCount: number, rejectedCount: number): Promise<void> {
      const given = { inferred: [], source: 'job-1' };
      const { doc } = await openDatasetVersion(catalog, rows, name, given, 1);
      await rows.append(name, doc.version, {
        rows: Array.from({ length: rowCount }, (_, at) => [at, `y${at}`]),
        rejected: Array.from({ length: rejectedCount }, (_, at) => ({
          rowNumber: 2 * at + 1,
          reason: 'x is no number',
          raw: `?,y${at}`,
        })),
        source: 'job-1',
        offset: 'end',
        expectedOffset: await rows.offset(name, doc.version, 'job-1'),
      });
      await recordCounts(catalog, rows, name, doc.version);
    },
  };
}

test('a data set is created with its schema, shown, listed and deleted', async (t) => {
  const { datasetsApi: api } = await worldOf(t);
  const made = await api.createDataSet({ dataSetId: 'd', dataSet: dataSet({ description: 'x' }) });
  t.like(made, { name: 'datasets/d', description: 'x', latestSealedVersion: 0n, etag: '1' });
  t.deepEqual(made.schema, { columns: COLUMNS, targetColumn: 'y' });
  t.deepEqual(await api.getDataSet({ name: 'datasets/d' }), made);
  t.deepEqual((await api.listDataSets({ pageSize: 0, pageToken: '' })).dataSets, [made]);
  const create = api.createDataSet({ dataSetId: 'd', dataSet: undefined });
  t.regex(await outcomeOf(create), /^ALREADY_EXISTS/);
  const remove = (etag: string) => outcomeOf(api.deleteDataSet({ name: 'datasets/d', etag }));
  t.regex(await remove('2'), /^ABORTED/);
  t.is(await remove('1'), 'OK');
  t.regex(await remove(''), /^NOT_FOUND/);
});

test('a schema that no row could have is refused', async (t) => {
  const { datasetsApi: api } = await worldOf(t);
  const create = (columns: typeof COLUMNS, targetColumn = '') =>
    outcomeOf(
      api.createDataSet({
        dataSetId: 'd',
        dataSet: dataSet({ schema: { columns, targetColumn } }),
      }),
    );
  const [x] = COLUMNS;
  if (x === undefined) return t.fail();
  t.regex(await create([x, x]), /^INVALID_ARGUMENT: column "x" is there twice/);
  t.regex(await create([{ ...x, name: '' }]), /^INVALID_ARGUMENT: column name/);
  t.regex(await create([x], 'z'), /^INVALID_ARGUMENT: target_column "z"/);
  const untyped = { ...x, type: ColumnType.UNSPECIFIED as typeof x.type };
  t.regex(await create([untyped]), /^INVALID_ARGUMENT: type of column "x" must be one of/);
  t.is(await create([], 'z'), 'OK');
});

test('rows are sealed into a version, and the next import opens another', async (t) => {
  const { datasetsApi: api, fill } = await worldOf(t);
  await api.createDataSet({ dataSetId: 'd', dataSet: dataSet() });
  const seal = () => api.sealDataSet({ name: 'datasets/d' });
  t.regex(await outcomeOf(seal()), /^FAILED_PRECONDITION: .*no open version/);
  await fill('d', 0, 1);
  t.regex(await outcomeOf(seal()), /^FAILED_PRECONDITION: .*no rows/);
  await fill('d', 3, 1);
  const version = await seal();
  t.like(version, {
    name: 'datasets/d/versions/1',
    state: 'DATA_SET_VERSION_STATE_SEALED',
    acceptedRows: 3n,
    rejectedRows: 2n,
    readRows: 5n,
    source: 'jobs/job-1',
  });
  t.is((await api.getDataSet({ name: 'datasets/d' })).latestSealedVersion, 1n);
  await fill('d', 1, 0);
  const list = await api.listDataSetVersions({ parent: 'datasets/d', pageSize: 0, pageToken: '' });
  t.deepEqual(
    list.dataSetVersions.map((one) => [one.version, one.state]),
    [
      [2n, 'DATA_SET_VERSION_STATE_OPEN'],
      [1n, 'DATA_SET_VERSION_STATE_SEALED'],
    ],
  );
  t.deepEqual(await api.getDataSetVersion({ name: 'datasets/d/versions/1' }), version);
});

test('rejected rows are listed with their reasons, page by page', async (t) => {
  const { datasetsApi: api, fill } = await worldOf(t);
  await api.createDataSet({ dataSetId: 'd', dataSet: dataSet() });
  const list = (parent: string, pageToken = '') =>
    api.listRejectedRows({ parent, pageSize: 2, pageToken });
  t.regex(await outcomeOf(list('datasets/d')), /^NOT_FOUND: .*no version yet/);
  await fill('d', 1, 3);
  const first = await list('datasets/d');
  t.deepEqual(first.rejectedRows[0], {
    rowNumber: 1n,
    reason: 'x is no number',
    rawText: '?,y0',
  });
  t.deepEqual(
    first.rejectedRows.map(({ rowNumber }) => rowNumber),
    [1n, 3n],
  );
  const second = await list('datasets/d/versions/1', first.nextPageToken);
  t.deepEqual(
    second.rejectedRows.map(({ rowNumber }) => rowNumber),
    [5n],
  );
  t.is(second.nextPageToken, '');
  t.regex(await outcomeOf(list('datasets/d/versions/2')), /^NOT_FOUND/);
  t.regex(await outcomeOf(list('datasets/d', 'eA')), /^INVALID_ARGUMENT/);
});

test('an import becomes a job on an uploaded file and a data set that is there', async (t) => {
  const { datasetsApi: api, upload, catalog } = await worldOf(t);
  await api.createDataSet({ dataSetId: 'd', dataSet: dataSet() });
  const blobSha256 = await upload('x,y\n1,a\n');
  const request = {
    name: 'datasets/d',
    blobSha256,
    fileName: 'd.csv',
    format: DataSetFormat.CSV,
    maxBadRowRatio: undefined as number | undefined,
    seal: true,
    jobId: 'j1',
  };
  const job = await api.importDataSet(request);
  t.like(job, { name: 'jobs/j1', state: 'JOB_STATE_QUEUED' });
  const { doc } = await catalog.require('job', 'j1');
  t.like(doc.spec, { dataset: 'd', format: 'csv', maxBadRowRatio: 0.01, seals: true, blobSha256 });
  const refused = (given: Partial<typeof request>) =>
    outcomeOf(api.importDataSet({ ...request, jobId: '', ...given }));
  t.regex(await refused({ name: 'datasets/e' }), /^NOT_FOUND: data set 'e'/);
  t.regex(await refused({ blobSha256: '0'.repeat(64) }), /^NOT_FOUND: blob/);
  t.regex(await refused({ blobSha256: 'x' }), /^INVALID_ARGUMENT: blob_sha256/);
  t.regex(await refused({ maxBadRowRatio: 2 }), /^INVALID_ARGUMENT: max_bad_row_ratio/);
  t.regex(await refused({ maxBadRowRatio: Number.NaN }), /^INVALID_ARGUMENT/);
  const busy = /^FAILED_PRECONDITION: .*while job 'j1' works on it/;
  t.regex(await outcomeOf(api.deleteDataSet({ name: 'datasets/d', etag: '' })), busy);
});

test('of many that create or delete the same at once one does, the others are told', async (t) => {
  const { datasetsApi: api, models, fill, publish } = await worldOf(t);
  const counted = async (calls: readonly Promise<unknown>[]) => {
    const outcomes = await Promise.all(calls.map(outcomeOf));
    const codes = outcomes.map((outcome) => outcome.split(':')[0] ?? '');
    return Object.fromEntries(codes.map((code) => [code, codes.filter((c) => c === code).length]));
  };
  const fifty = (call: () => Promise<unknown>) => counted(Array.from({ length: 50 }, call));
  const made = { OK: 1, ALREADY_EXISTS: 49 };
  t.deepEqual(await fifty(() => api.createDataSet({ dataSetId: 'd', dataSet: dataSet({}) })), made);
  t.deepEqual(await fifty(() => models.createModel({ modelId: 'm', model: undefined })), made);
  await fill('d', 3, 0);
  await api.sealDataSet({ name: 'datasets/d' });
  await fill('d', 3, 0);
  const gone = { OK: 1, NOT_FOUND: 49 };
  t.deepEqual(await fifty(() => api.deleteDataSet({ name: 'datasets/d', etag: '' })), gone);
  await publish('m', true);
  await publish('m', false);
  const away = { name: 'models/m', etag: '', force: true };
  t.deepEqual(await fifty(() => models.deleteModel(away)), gone);
  t.is(await outcomeOf(api.createDataSet({ dataSetId: 'd', dataSet: dataSet({}) })), 'OK');
});

test('what an import opens while its data set is deleted goes too', async (t) => {
  const { datasetsApi: api, datasets, catalog, fill } = await worldOf(t);
  await api.createDataSet({ dataSetId: 'd', dataSet: dataSet({}) });
  await fill('d', 3, 0);
  await api.sealDataSet({ name: 'datasets/d' });
  const remove = datasets.remove.bind(datasets);
  let opens = 1;
  datasets.remove = async (name, version) => {
    await remove(name, version);
    if (opens-- > 0) await fill('d', 2, 0);
  };
  await api.deleteDataSet({ name: 'datasets/d', etag: '' });
  t.is(await catalog.get('dataset', 'd'), undefined);
  t.deepEqual(await catalog.all('dataset_version'), []);
  await t.throwsAsync(datasets.counts('d', 2), { code: Code.NOT_FOUND } as never);
});
