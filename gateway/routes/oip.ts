// The Open Inference Protocol's calls about server, models and repository, with Triton's additions.
// Calls with tensors are in infer.ts.
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isName, requestForUnknownModel } from '../../common/names.ts';
import { Code, invalidArgument, notFound } from '../../common/status.ts';
import { callOptions } from '../call-options.ts';
import { HttpError } from '../http-error.ts';
import { answerOfMethod, type Schema } from '../openapi.ts';
import type { Rpc } from '../rpc.ts';
import { describe, inputOf, sendJson } from './rpc-route.ts';

export const INFERENCE_SERVICE = '/inference.GRPCInferenceService';

export interface ModelRef {
  readonly name: string;
  /** '': the serving one. */
  readonly version: string;
}

/** @throws NOT_FOUND for a name that no model can have, and for a version that is no number */
export function modelOf(request: FastifyRequest): ModelRef {
  const params = request.params as Readonly<Record<string, string>>;
  const { model = '', version = '' } = params;
  // The router looks for a name in the first bytes of a message: a long one is no message to it.
  if (!isName(model)) throw notFound(`${requestForUnknownModel(model)} is not found`);
  if (version !== '' && !/^\d{1,19}$/.test(version)) throw notFound('Not Found');
  return { name: model, version };
}

/** Both addresses of what belongs to a model: the serving version's, and a version's own. */
export function modelUrls(suffix: string): readonly string[] {
  return [`/v2/models/:model${suffix}`, `/v2/models/:model/versions/:version${suffix}`];
}

export function oipRoutes(app: FastifyInstance, rpc: Rpc): void {
  serverRoutes(app, rpc);
  modelRoutes(app, rpc);
  repositoryRoutes(app, rpc);
}

function serverRoutes(app: FastifyInstance, rpc: Rpc): void {
  const get = (url: string, method: string, summary: string, answer: Answer): void => {
    app.get(url, {
      ...describe({
        url,
        tag: 'inference',
        summary,
        answer: answerOfMethod(`${INFERENCE_SERVICE}/${method}`),
      }),
      handler: async (request, reply) => {
        const path = `${INFERENCE_SERVICE}/${method}`;
        return answer(reply, await rpc.unary(path, {}, callOptions(request, reply)));
      },
    });
  };
  get('/v2', 'ServerMetadata', 'Name, version and extensions of the server', (reply, json) => {
    const { extensions = [], ...rest } = json as { extensions?: readonly string[] };
    // Binary tensors beside JSON are the gateway's own affair: gRPC has them anyway.
    const all = [...new Set([...extensions, 'binary_tensor_data'])].toSorted();
    return sendJson(reply, { ...rest, extensions: all });
  });
  get('/v2/health/live', 'ServerLive', '200 when the cluster answers', flagAnswer('live'));
  get('/v2/health/ready', 'ServerReady', '200 when all models are ready', flagAnswer('ready'));
}

type Answer = (reply: FastifyReply, json: unknown) => FastifyReply;

/** 200 for yes and 400 for no, as Triton; with the body that other clients of the protocol read. */
function flagAnswer(flag: string): Answer {
  return (reply, json) => {
    const isSet = (json as Record<string, unknown>)[flag] === true;
    return sendJson(reply.code(isSet ? 200 : 400), { [flag]: isSet });
  };
}

function modelRoutes(app: FastifyInstance, rpc: Rpc): void {
  const get = (suffix: string, method: string, summary: string, answer: ModelAnswer): void => {
    for (const url of modelUrls(suffix)) {
      app.get(url, {
        ...describe({
          url,
          tag: 'inference',
          summary,
          answer: answerOfMethod(`${INFERENCE_SERVICE}/${method}`),
        }),
        handler: async (request, reply) => {
          const model = modelOf(request);
          const path = `${INFERENCE_SERVICE}/${method}`;
          const json = await rpc.unary(path, { ...model }, callOptions(request, reply));
          return sendJson(reply, answer(json, model));
        },
      });
    }
  };
  get('', 'ModelMetadata', "Inputs and outputs of a model's version", (json) => json);
  get('/config', 'ModelConfig', "Configuration of a model's version", (json) => {
    return (json as { config?: unknown }).config ?? {};
  });
  get('/stats', 'ModelStatistics', 'Counts and durations of a model', (json) => json);
  get('/ready', 'ModelReady', '200 when the model is ready', (json, { name }) => {
    if ((json as { ready?: unknown }).ready === true) return { name, ready: true };
    throw new HttpError(400, Code.UNAVAILABLE, 'Model version not ready');
  });
  const method = `${INFERENCE_SERVICE}/ModelStatistics`;
  const url = '/v2/models/stats';
  app.get(url, {
    ...describe({
      url,
      tag: 'inference',
      summary: 'Counts and durations of all models',
      answer: answerOfMethod(method),
    }),
    handler: async (request, reply) =>
      sendJson(reply, await rpc.unary(method, {}, callOptions(request, reply))),
  });
}

type ModelAnswer = (json: unknown, model: ModelRef) => unknown;

const INDEX_BODY: Schema = {
  type: 'object',
  properties: { ready: { type: 'boolean', description: 'true: only those that are ready' } },
};
const LOAD_BODY: Schema = { type: 'object', properties: { parameters: { type: 'object' } } };

function repositoryRoutes(app: FastifyInstance, rpc: Rpc): void {
  const index = `${INFERENCE_SERVICE}/RepositoryIndex`;
  const url = '/v2/repository/index';
  app.post(url, {
    ...describe({
      url,
      tag: 'repository',
      summary: 'List models with their states',
      body: INDEX_BODY,
      answer: { type: 'array', items: { type: 'object' } },
    }),
    handler: async (request, reply) => {
      const { ready = false } = inputOf(request).body;
      if (typeof ready !== 'boolean') {
        throw invalidArgument("Invalid value for 'ready': expected a boolean");
      }
      const json = await rpc.unary(index, { ready }, callOptions(request, reply));
      const { models = [] } = json as { models?: readonly Record<string, unknown>[] };
      return sendJson(reply, models.map(withoutEmpty));
    },
  });
  const change = (verb: string, method: string, summary: string): void => {
    const changeUrl = `/v2/repository/models/:model/${verb}`;
    app.post(changeUrl, {
      ...describe({ url: changeUrl, tag: 'repository', summary, body: LOAD_BODY }),
      handler: async (request, reply) => {
        const { params, body } = inputOf(request);
        const parameters = repositoryParameters(body.parameters);
        const { model = '' } = params;
        // As control answers: a name that no model can have is unknown, and so is not loaded.
        if (!isName(model) && verb === 'unload') return reply.code(200).send();
        if (!isName(model)) throw notFound(`${requestForUnknownModel(model)} is not found`);
        const message = { modelName: model, parameters };
        await rpc.unary(`${INFERENCE_SERVICE}/${method}`, message, callOptions(request, reply));
        return reply.code(200).send();
      },
    });
  };
  change('load', 'RepositoryModelLoad', 'Load a model');
  change('unload', 'RepositoryModelUnload', 'Unload a model');
}

function withoutEmpty(entry: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== ''));
}

/** Plain JSON values as the typed parameters of a call. @throws INVALID_ARGUMENT */
function repositoryParameters(given: JsonValue | undefined): JsonObject {
  if (given === undefined || given === null) return {};
  if (typeof given !== 'object' || Array.isArray(given)) {
    throw invalidArgument("Unable to parse 'parameters': it must be a JSON object");
  }
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, typed(key, value)]));
}

function typed(key: string, value: JsonValue): JsonObject {
  if (typeof value === 'boolean') return { boolParam: value };
  if (Number.isSafeInteger(value)) return { int64Param: String(value) };
  // A file's content comes as base64, under its place: 'file:1/model.onnx'.
  if (typeof value === 'string') {
    return key.startsWith('file:') ? { bytesParam: value } : { stringParam: value };
  }
  throw invalidArgument(
    `parameter '${key.slice(0, 64)}' must be a string, a whole number, true or false`,
  );
}
