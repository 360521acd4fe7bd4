// Calls with tensors: JSON, or JSON with binary behind it, in and out.
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Code, invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import {
  ModelConfigRequest,
  ModelConfigResponse,
  ModelInferRequest,
  ModelInferResponse,
} from '../../proto/gen/inference/grpc_service.ts';
import type { Backend } from '../../transport/backend.ts';
import { MAX_MESSAGE_BYTES } from '../../transport/backend.ts';
import { type InvokeOptions, invokeUnary } from '../../transport/invoke.ts';
import { bodyBytes } from '../body-parsers.ts';
import { callOptions } from '../call-options.ts';
import { limitText, tooLarge } from '../http-error.ts';
import { rawBodyRequest } from '../infer-json/raw-body.ts';
import { type InferCall, readInferBody } from '../infer-json/request.ts';
import { inferAnswer } from '../infer-json/response.ts';
import { inSlices } from '../infer-json/slices.ts';
import { INFER_ANSWER, INFER_BODY } from '../openapi-infer.ts';
import { INFERENCE_SERVICE, type ModelRef, modelOf, modelUrls } from './oip.ts';
import { describe } from './rpc-route.ts';

/** Length of the JSON in front of binary tensors, both ways. */
const HEADER_LENGTH = 'inference-header-content-length';

/** An answer of at most this many raw bytes is sent in one piece. */
const SMALL_ANSWER_BYTES = 64 * 1024;

/** Has a scope of its own: its bodies are bytes, whatever their type is said to be. */
export function inferRoutes(app: FastifyInstance, backend: Backend, maxBytes: number): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', async (request: FastifyRequest) => bodyBytes(request, maxBytes));
  for (const url of modelUrls('/infer')) {
    app.post(url, {
      ...describe({
        url,
        tag: 'inference',
        summary: 'Call a model with tensors',
        body: INFER_BODY,
        consumes: ['application/json', 'application/octet-stream'],
        answer: INFER_ANSWER,
      }),
      handler: async (request, reply) => {
        const options = callOptions(request, reply);
        const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
        const call = await callOf(request, body, backend, options);
        const bytes = ModelInferRequest.encode(call.message).finish();
        if (bytes.length > MAX_MESSAGE_BYTES) {
          const limit = limitText(MAX_MESSAGE_BYTES);
          throw tooLarge(`as a message the request is larger than the limit of ${limit}`);
        }
        const path = `${INFERENCE_SERVICE}/ModelInfer`;
        const { response } = await invokeUnary(backend, path, bytes, options);
        return sendAnswer(reply, decoded(response), call);
      },
    });
  }
}

function decoded(bytes: Uint8Array): ModelInferResponse {
  try {
    return ModelInferResponse.decode(bytes);
  } catch (cause) {
    const text = `the answer can't be decoded: ${statusOf(cause).message}`;
    throw new StatusError(Code.INTERNAL, text, { cause });
  }
}

async function callOf(
  request: FastifyRequest,
  body: Buffer,
  backend: Backend,
  options: InvokeOptions,
): Promise<InferCall> {
  const model = modelOf(request);
  const jsonBytes = jsonLength(request.headers[HEADER_LENGTH], body.length);
  if (jsonBytes === 0) {
    const message = rawBodyRequest(await configOf(model, backend, options), model.version, body);
    return { message, isBinary: () => true };
  }
  return inSlices(
    readInferBody({
      model: model.name,
      version: model.version,
      bytes: body,
      jsonBytes: jsonBytes ?? body.length,
      maxTensorBytes: MAX_MESSAGE_BYTES,
    }),
  );
}

/** Undefined: the whole body. 0: none of it. @throws INVALID_ARGUMENT */
function jsonLength(header: string | string[] | undefined, bodyBytes: number): number | undefined {
  if (header === undefined) return undefined;
  const text = Array.isArray(header) ? (header[0] ?? '') : header;
  const length = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (length <= bodyBytes) return length;
  throw invalidArgument(
    `inference header size should be in range (0, ${bodyBytes}), got: ${text.slice(0, 32)}`,
  );
}

async function configOf(model: ModelRef, backend: Backend, options: InvokeOptions) {
  const path = `${INFERENCE_SERVICE}/ModelConfig`;
  const request = ModelConfigRequest.encode(model).finish();
  const { response } = await invokeUnary(backend, path, request, options);
  const { config } = ModelConfigResponse.decode(response);
  if (config !== undefined) return config;
  throw new StatusError(Code.INTERNAL, `model '${model.name}' has no configuration`);
}

function sendAnswer(reply: FastifyReply, response: ModelInferResponse, call: InferCall) {
  const { json, blobs, jsonTensorBytes } = inferAnswer(response, call.isBinary);
  if (blobs !== undefined) {
    const head = Buffer.from([...json].join(''));
    const all = [head, ...blobs];
    reply
      .header(HEADER_LENGTH, String(head.length))
      .header('content-length', String(all.reduce((sum, part) => sum + part.length, 0)))
      .type('application/octet-stream');
    return reply.send(Readable.from(all));
  }
  reply.type('application/json');
  if (jsonTensorBytes <= SMALL_ANSWER_BYTES) return reply.send([...json].join(''));
  return reply.send(Readable.from(json));
}
