// Data sets: their versions, their rejected rows, and files that become rows.
import type { JsonObject } from '@bufbuild/protobuf';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { DATA_FORMATS } from '../../catalog/documents.ts';
import { isName } from '../../common/names.ts';
import { Code, hasCode } from '../../common/status.ts';
import type { InvokeOptions } from '../../transport/invoke.ts';
import { callOptions } from '../call-options.ts';
import { answerOfMethod, refTo } from '../openapi.ts';
import type { Rpc } from '../rpc.ts';
import type { Uploads } from '../uploads.ts';
import { isMultipart, storeFiles } from './multipart.ts';
import {
  addRpcRoute,
  describe,
  enumName,
  inputOf,
  nameIn,
  PAGING,
  paging,
  type RouteInput,
  type RpcRoute,
  sendJson,
  versionIn,
} from './rpc-route.ts';

const SERVICE = '/torus.v1.DataSetService';
const IMPORT = `${SERVICE}/ImportDataSet`;
const FORMAT_PREFIX = 'DATA_SET_FORMAT';

const setName = ({ params }: RouteInput): string =>
  `datasets/${nameIn(params, 'dataset', 'data set')}`;
const versionName = (input: RouteInput): string =>
  `${setName(input)}/versions/${versionIn(input.params)}`;

const routes: readonly Omit<RpcRoute, 'tag'>[] = [
  {
    method: 'GET',
    url: '/api/v1/datasets',
    summary: 'List data sets',
    query: PAGING,
    rpc: `${SERVICE}/ListDataSets`,
    request: ({ query }) => paging(query),
  },
  {
    method: 'POST',
    url: '/api/v1/datasets',
    summary: 'Create a data set, with a schema or for the first import to decide it',
    body: refTo('torus.v1.CreateDataSetRequest'),
    rpc: `${SERVICE}/CreateDataSet`,
    status: 201,
    request: ({ body }) => body,
  },
  {
    method: 'GET',
    url: '/api/v1/datasets/:dataset',
    summary: 'Show a data set',
    rpc: `${SERVICE}/GetDataSet`,
    request: (input) => ({ name: setName(input) }),
  },
  {
    method: 'DELETE',
    url: '/api/v1/datasets/:dataset',
    summary: 'Remove a data set with its rows',
    query: { etag: 'only if this is the stored one' },
    rpc: `${SERVICE}/DeleteDataSet`,
    status: 204,
    request: (input) => ({ name: setName(input), etag: input.query.text('etag') ?? '' }),
  },
  {
    method: 'POST',
    url: '/api/v1/datasets/:dataset/seal',
    summary: 'Fix the open version, to train on',
    rpc: `${SERVICE}/SealDataSet`,
    request: (input) => ({ name: setName(input) }),
  },
  {
    method: 'GET',
    url: '/api/v1/datasets/:dataset/versions',
    summary: 'List the versions of a data set, newest first',
    query: PAGING,
    rpc: `${SERVICE}/ListDataSetVersions`,
    request: (input) => ({ parent: setName(input), ...paging(input.query) }),
  },
  {
    method: 'GET',
    url: '/api/v1/datasets/:dataset/versions/:version',
    summary: 'Show a version of a data set',
    rpc: `${SERVICE}/GetDataSetVersion`,
    request: (input) => ({ name: versionName(input) }),
  },
  {
    method: 'GET',
    url: '/api/v1/datasets/:dataset/versions/:version/rejected',
    summary: 'List the rows that were refused, with the reasons',
    query: PAGING,
    rpc: `${SERVICE}/ListRejectedRows`,
    request: (input) => ({ parent: versionName(input), ...paging(input.query) }),
  },
];

const IMPORT_QUERY = {
  format: `multipart: ${DATA_FORMATS.join(', ')}; recognised when absent`,
  max_bad_row_ratio: 'multipart: share of bad rows past which the import fails, 0 to 1',
  seal: 'multipart: true fixes the version when the import has succeeded',
};

export function dataSetRoutes(app: FastifyInstance, rpc: Rpc, uploads: Uploads): void {
  for (const route of routes) addRpcRoute(app, rpc, { ...route, tag: 'data sets' });
  const url = '/api/v1/datasets/:dataset/import';
  app.post(url, {
    ...describe({
      url,
      tag: 'data sets',
      summary: 'Import a file; JSON names an uploaded blob, multipart brings it',
      query: IMPORT_QUERY,
      body: refTo('torus.v1.ImportDataSetRequest'),
      consumes: ['application/json', 'multipart/form-data'],
      status: 202,
      answer: answerOfMethod(IMPORT),
    }),
    handler: (request, reply) => importFile(request, reply, rpc, uploads),
  });
}

async function importFile(
  request: FastifyRequest,
  reply: FastifyReply,
  rpc: Rpc,
  uploads: Uploads,
): Promise<FastifyReply> {
  const { dataset = '' } = request.params as Readonly<Record<string, string>>;
  const options = callOptions(request, reply);
  const wanted = isMultipart(request)
    ? await fromMultipart(request, uploads)
    : withFormat(inputOf(request).body);
  await ensureDataSet(rpc, dataset, options);
  const job = await rpc.unary(IMPORT, { ...wanted, name: `datasets/${dataset}` }, options);
  return sendJson(reply.code(202), job);
}

function withFormat(body: JsonObject): JsonObject {
  const { format } = body;
  if (typeof format !== 'string') return body;
  return { ...body, format: enumName('format', format, FORMAT_PREFIX, DATA_FORMATS) };
}

async function fromMultipart(request: FastifyRequest, uploads: Uploads): Promise<JsonObject> {
  const { query } = inputOf(request);
  const ratio = query.text('max_bad_row_ratio');
  const options = {
    format: query.choice('format', FORMAT_PREFIX, DATA_FORMATS),
    seal: query.flag('seal'),
    ...(ratio === undefined ? {} : { maxBadRowRatio: ratio }),
  };
  const [file] = await storeFiles(request, uploads, 1);
  return { ...options, blobSha256: file?.sha256 ?? '', fileName: file?.path ?? '' };
}

/** Makes the data set if it is not there. @throws INVALID_ARGUMENT for a name that can't be */
async function ensureDataSet(rpc: Rpc, id: string, options: InvokeOptions): Promise<void> {
  try {
    if (isName(id)) {
      await rpc.unary(`${SERVICE}/GetDataSet`, { name: `datasets/${id}` }, options);
      return;
    }
  } catch (thrown) {
    if (!hasCode(thrown, Code.NOT_FOUND)) throw thrown;
  }
  try {
    const request = { dataSetId: id, dataSet: {} };
    await rpc.unary(`${SERVICE}/CreateDataSet`, request, options);
  } catch (thrown) {
    // Somebody else made it meanwhile: as good.
    if (!hasCode(thrown, Code.ALREADY_EXISTS)) throw thrown;
  }
}
