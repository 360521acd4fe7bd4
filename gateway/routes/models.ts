// Models and their versions. A new version comes as files that are uploaded already, or in one
// multipart request that is streamed to the blob store; either way an import job does the rest.
import type { JsonObject } from '@bufbuild/protobuf';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MODEL_FORMATS } from '../../catalog/documents.ts';
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

const SERVICE = '/torus.v1.ModelService';
const IMPORT = `${SERVICE}/ImportModelVersion`;

const modelName = ({ params }: RouteInput): string => `models/${nameIn(params, 'model', 'model')}`;
const versionName = (input: RouteInput): string =>
  `${modelName(input)}/versions/${versionIn(input.params)}`;

/** 'policy.min_copies' -> 'policy.minCopies': JSON's form of a field mask. */
function maskOf(text: string): string {
  return text.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const ETAG = { etag: 'only if this is the stored one' };

const routes: readonly Omit<RpcRoute, 'tag'>[] = [
  {
    method: 'GET',
    url: '/api/v1/models',
    summary: 'List models',
    query: PAGING,
    rpc: `${SERVICE}/ListModels`,
    request: ({ query }) => paging(query),
  },
  {
    method: 'POST',
    url: '/api/v1/models',
    summary: 'Create a model without versions',
    body: refTo('torus.v1.CreateModelRequest'),
    rpc: `${SERVICE}/CreateModel`,
    status: 201,
    request: ({ body }) => body,
  },
  {
    method: 'GET',
    url: '/api/v1/models/:model',
    summary: 'Show a model',
    rpc: `${SERVICE}/GetModel`,
    request: (input) => ({ name: modelName(input) }),
  },
  {
    method: 'PATCH',
    url: '/api/v1/models/:model',
    summary: 'Change description, policy or serving version of a model',
    query: { update_mask: 'fields to change, commas between; all that are set when absent' },
    body: refTo('torus.v1.Model'),
    rpc: `${SERVICE}/UpdateModel`,
    request: (input) => ({
      model: { ...input.body, name: modelName(input) },
      updateMask: maskOf(input.query.text('update_mask') ?? ''),
    }),
  },
  {
    method: 'DELETE',
    url: '/api/v1/models/:model',
    summary: 'Remove a model',
    query: { force: 'true: with its versions', ...ETAG },
    rpc: `${SERVICE}/DeleteModel`,
    status: 204,
    request: (input) => ({
      name: modelName(input),
      force: input.query.flag('force'),
      etag: input.query.text('etag') ?? '',
    }),
  },
  {
    method: 'GET',
    url: '/api/v1/models/:model/versions',
    summary: 'List the versions of a model, newest first',
    query: PAGING,
    rpc: `${SERVICE}/ListModelVersions`,
    request: (input) => ({ parent: modelName(input), ...paging(input.query) }),
  },
  {
    method: 'GET',
    url: '/api/v1/models/:model/versions/:version',
    summary: 'Show a version of a model',
    rpc: `${SERVICE}/GetModelVersion`,
    request: (input) => ({ name: versionName(input) }),
  },
  {
    method: 'DELETE',
    url: '/api/v1/models/:model/versions/:version',
    summary: 'Remove a version that is not the serving one',
    query: ETAG,
    rpc: `${SERVICE}/DeleteModelVersion`,
    status: 204,
    request: (input) => ({ name: versionName(input), etag: input.query.text('etag') ?? '' }),
  },
];

export function modelRoutes(app: FastifyInstance, rpc: Rpc, uploads: Uploads): void {
  for (const route of routes) addRpcRoute(app, rpc, { ...route, tag: 'models' });
  const url = '/api/v1/models/:model/versions';
  app.post(url, {
    ...describe({
      url,
      tag: 'models',
      summary: 'Import files as a new version; JSON names uploaded blobs, multipart brings them',
      query: {
        promote: 'multipart: true makes it the serving version when it is ready',
        version: 'multipart: the number it is to get; the next free one when absent',
        format: `multipart: ${MODEL_FORMATS.join(', ')}; recognised when absent`,
      },
      body: refTo('torus.v1.ImportModelVersionRequest'),
      consumes: ['application/json', 'multipart/form-data'],
      status: 202,
      answer: answerOfMethod(IMPORT),
    }),
    handler: (request, reply) => importVersion(request, reply, rpc, uploads),
  });
}

async function importVersion(
  request: FastifyRequest,
  reply: FastifyReply,
  rpc: Rpc,
  uploads: Uploads,
): Promise<FastifyReply> {
  // The name goes on unchecked: control refuses one that can't be created, with the rule.
  const { model = '' } = request.params as Readonly<Record<string, string>>;
  const wanted = isMultipart(request)
    ? await fromMultipart(request, uploads)
    : withFormat(inputOf(request).body);
  const body = { ...wanted, parent: `models/${model}` };
  const job = await rpc.unary(IMPORT, body, callOptions(request, reply));
  return sendJson(reply.code(202), job);
}

/** 'onnx' is understood as well as 'MODEL_FORMAT_ONNX'. */
function withFormat(body: JsonObject): JsonObject {
  const { format } = body;
  if (typeof format !== 'string') return body;
  return { ...body, format: enumName('format', format, 'MODEL_FORMAT', MODEL_FORMATS) };
}

async function fromMultipart(request: FastifyRequest, uploads: Uploads): Promise<JsonObject> {
  const { query } = inputOf(request);
  const options = {
    promote: query.flag('promote'),
    version: query.text('version') ?? '0',
    format: query.choice('format', 'MODEL_FORMAT', MODEL_FORMATS),
  };
  const files = await storeFiles(request, uploads);
  return {
    ...options,
    files: files.map(({ path, sha256, sizeBytes }) => ({
      path,
      sha256,
      sizeBytes: String(sizeBytes),
    })),
  };
}
