// torus.v1.DataSetService: data sets, imports into them, sealing, and the rows that were rejected.
import { type Entry, versionKey } from '../../catalog/catalog.ts';
import { deleteDataset, newDataset, sealDatasetVersion } from '../../catalog/datasets.ts';
import { checkRevision } from '../../catalog/versions.ts';
import { checkName } from '../../common/names.ts';
import { failedPrecondition, invalidArgument, notFound } from '../../common/status.ts';
import type { DataSetVersion } from '../../proto/gen/torus/v1/data_set.ts';
import {
  DataSetServiceService,
  type DeleteDataSetRequest,
  type ListDataSetsRequest,
  type ListDataSetVersionsRequest,
  type ListRejectedRowsRequest,
} from '../../proto/gen/torus/v1/data_set_service.ts';
import type { Backend } from '../../transport/backend.ts';
import { serveDefinition } from '../../transport/definition.ts';
import { type AdminContext, openJobs, requireBlob, submitJob } from './admin-context.ts';
import {
  datasetMessage,
  datasetVersionMessage,
  rejectedRowMessage,
  schemaOf,
} from './dataset-messages.ts';
import { descriptionOf, revisionOf } from './fields.ts';
import { importDatasetSpecOf } from './import-specs.ts';
import { jobMessage } from './job-messages.ts';
import { decodeToken, encodeToken, pageByKey, pageNewestFirst, pageSizeOf } from './paging.ts';
import { datasetMaybeVersionOf, datasetOf, datasetVersionOf } from './resource-names.ts';

export function datasetService(context: AdminContext): Backend {
  const { catalog, dateMs, log } = context;
  return serveDefinition(
    DataSetServiceService,
    {
      createDataSet: async ({ dataSetId, dataSet }) => {
        const name = checkName('data set', dataSetId);
        const description = descriptionOf(dataSet?.description ?? '');
        const given = { description, ...schemaOf(dataSet?.schema) };
        return datasetMessage(
          await catalog.create('dataset', name, newDataset(name, dateMs(), given)),
        );
      },
      getDataSet: async ({ name }) =>
        datasetMessage(await catalog.require('dataset', datasetOf(name))),
      listDataSets: (request) => listDatasets(context, request),
      deleteDataSet: (request) => removeDataset(context, request),
      importDataSet: async (request) => {
        const spec = importDatasetSpecOf(request);
        await catalog.require('dataset', spec.dataset);
        await requireBlob(context, spec.blobSha256);
        return jobMessage(await submitJob(context, request.jobId, spec));
      },
      sealDataSet: ({ name }) => seal(context, datasetOf(name)),
      getDataSetVersion: async ({ name }) => {
        const { id, version } = datasetVersionOf(name);
        const { doc } = await catalog.require('dataset', id);
        return shown(await catalog.require('dataset_version', versionKey(id, version)), doc);
      },
      listDataSetVersions: (request) => listVersions(context, request),
      listRejectedRows: (request) => listRejectedRows(context, request),
    },
    log,
  );
}

function shown(
  { doc }: Entry<'dataset_version'>,
  { targetColumn }: { readonly targetColumn: string },
): DataSetVersion {
  return datasetVersionMessage(doc, targetColumn);
}

async function listDatasets({ catalog }: AdminContext, request: ListDataSetsRequest) {
  const page = await pageByKey(request, (range) => catalog.list('dataset', range));
  return { dataSets: page.items.map(datasetMessage), nextPageToken: page.nextPageToken };
}

async function checkUnused(context: AdminContext, dataset: string, verb: string): Promise<void> {
  const [job] = await openJobs(
    context.catalog,
    (spec) => spec.kind !== 'import_model' && spec.dataset === dataset,
  );
  if (job === undefined) return;
  throw failedPrecondition(
    `data set '${dataset}' can't be ${verb} while job '${job}' works on it: ` +
      'wait or cancel that job',
  );
}

async function removeDataset(context: AdminContext, { name, etag }: DeleteDataSetRequest) {
  const id = datasetOf(name);
  const { revision } = await context.catalog.require('dataset', id);
  checkRevision(`data set '${id}'`, revision, revisionOf(etag));
  await checkUnused(context, id, 'deleted');
  await deleteDataset(context.catalog, context.datasets, id);
  return {};
}

async function seal(context: AdminContext, id: string): Promise<DataSetVersion> {
  const { catalog, datasets, dateMs } = context;
  const { doc } = await catalog.require('dataset', id);
  if (doc.openVersion === 0) {
    throw failedPrecondition(`data set '${id}' has no open version to seal: import rows first`);
  }
  await checkUnused(context, id, 'sealed');
  return shown(await sealDatasetVersion(catalog, datasets, id, doc.openVersion, dateMs()), doc);
}

async function listVersions({ catalog }: AdminContext, request: ListDataSetVersionsRequest) {
  const id = datasetOf(request.parent, 'parent');
  const { doc } = await catalog.require('dataset', id);
  const versions = await catalog.all('dataset_version', `${id}/`);
  const { items, nextPageToken } = pageNewestFirst(versions, ({ key }) => key, request);
  return { dataSetVersions: items.map((entry) => shown(entry, doc)), nextPageToken };
}

async function listRejectedRows(context: AdminContext, request: ListRejectedRowsRequest) {
  const { id, version } = await namedVersion(context, request.parent);
  const size = pageSizeOf(request);
  const after = rowNumberOf(request.pageToken);
  const rows = await context.datasets.rejected(id, version, after, size);
  const last = rows.at(-1);
  const isLast = last === undefined || rows.length < size;
  return {
    rejectedRows: rows.map(rejectedRowMessage),
    nextPageToken: isLast ? '' : encodeToken(String(last.rowNumber)),
  };
}

/** The row after which a page starts: 0 at the start. */
function rowNumberOf(pageToken: string): number {
  const after = decodeToken(pageToken);
  if (/^[0-9]{0,15}$/.test(after)) return Number(after);
  throw invalidArgument('page_token is none that an earlier page gave: start without one');
}

/** The version that is named, or the newest one. */
async function namedVersion({ catalog }: AdminContext, parent: string) {
  const { id, version } = datasetMaybeVersionOf(parent, 'parent');
  const { doc } = await catalog.require('dataset', id);
  const number = version === 0 ? doc.nextVersion - 1 : version;
  if (number === 0) throw notFound(`data set '${id}' has no version yet: import rows first`);
  await catalog.require('dataset_version', versionKey(id, number));
  return { id, version: number };
}
