// A route that is one call: how a request's path, query and body make the call's request, and what
// the OpenAPI document says about it. Most of the gateway's routes are a row of this.
import type { JsonObject } from '@bufbuild/protobuf';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isName } from '../../common/names.ts';
import { invalidArgument, notFound } from '../../common/status.ts';
import { callOptions } from '../call-options.ts';
import { answerOfMethod, type Schema } from '../openapi.ts';
import type { Rpc } from '../rpc.ts';

export interface RouteInput {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: JsonObject;
}

export interface RpcRoute {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly tag: string;
  readonly summary: string;
  /** Query parameters with what they mean. */
  readonly query?: Readonly<Record<string, string>>;
  /** Schema of the JSON body. */
  readonly body?: Schema;
  /** '/torus.v1.JobService/GetJob' */
  readonly rpc: string;
  request(input: RouteInput): JsonObject;
  /** 200 unless told; 204 sends no body. */
  readonly status?: number;
}

export const PAGING = {
  page_size: 'at most this many; 50 when absent, 1000 at most',
  page_token: 'next_page_token of the page before',
};

export function paging(query: Query): JsonObject {
  return { pageSize: query.text('page_size') ?? 0, pageToken: query.text('page_token') ?? '' };
}

/** Query parameters; one that is given twice counts with its first value. */
class Query {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: unknown) {
    this.#values = typeof values === 'object' && values !== null ? { ...values } : {};
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    const first: unknown = Array.isArray(value) ? value[0] : value;
    return typeof first === 'string' && first !== '' ? first : undefined;
  }

  /** @throws INVALID_ARGUMENT */
  flag(name: string): boolean {
    const value = this.text(name);
    if (value === undefined || value === 'false' || value === '0') return false;
    if (value === 'true' || value === '1') return true;
    throw invalidArgument(`query parameter ${name} must be true or false, not ${quoted(value)}`);
  }

  /** One of an enum's names in small letters, without the prefix. @throws INVALID_ARGUMENT */
  choice(name: string, prefix: string, among: readonly string[]): string {
    return enumName(`query parameter ${name}`, this.text(name), prefix, among);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

/** 'csv' with prefix 'DATA_SET_FORMAT' -> 'DATA_SET_FORMAT_CSV'; undefined -> ..._UNSPECIFIED. */
export function enumName(
  what: string,
  value: string | undefined,
  prefix: string,
  among: readonly string[],
): string {
  if (value === undefined) return `${prefix}_UNSPECIFIED`;
  const upper = value.toUpperCase();
  const bare = upper.startsWith(`${prefix}_`) ? upper.slice(prefix.length + 1) : upper;
  if (among.includes(bare.toLowerCase())) return `${prefix}_${bare}`;
  throw invalidArgument(`${what} must be one of ${among.join(', ')}, not ${quoted(value)}`);
}

/**
 * A name out of the path for a call about something that is there: what can't be a name is not
 * there. @throws NOT_FOUND
 */
export function nameIn(params: RouteInput['params'], key: string, kind: string): string {
  const name = params[key] ?? '';
  if (isName(name)) return name;
  throw notFound(`no ${kind} ${quoted(name)}`);
}

/** A version out of the path. @throws NOT_FOUND */
export function versionIn(params: RouteInput['params']): string {
  const version = params.version ?? '';
  if (/^[1-9]\d{0,15}$/.test(version)) return version;
  throw notFound(`no version ${quoted(version)}: versions are numbers from 1`);
}

/** An object out of a JSON body. @throws INVALID_ARGUMENT */
function bodyOf(request: FastifyRequest): JsonObject {
  const { body } = request;
  if (body === undefined || body === null) return {};
  if (typeof body === 'object' && !Array.isArray(body)) return body as JsonObject;
  throw invalidArgument('the request body must be a JSON object');
}

export function inputOf(request: FastifyRequest): RouteInput {
  return {
    params: request.params as Readonly<Record<string, string>>,
    query: new Query(request.query),
    body: bodyOf(request),
  };
}

export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(value));
}

const PARAMETER = /:(\w+)/g;

function parametersOf(names: readonly (readonly [string, string])[]): Schema {
  const properties = names.map(([name, description]) => [name, { type: 'string', description }]);
  return { type: 'object', properties: Object.fromEntries(properties) };
}

interface Described {
  readonly url: string;
  readonly tag: string;
  readonly summary: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Schema;
  readonly consumes?: readonly string[];
  readonly status?: number;
  /** Schema of the answer; absent: no body. */
  readonly answer?: Schema;
}

/** The route's part of the OpenAPI document. */
export function describe(route: Described): { schema: Schema } {
  const parameters = [...route.url.matchAll(PARAMETER)].map((found) => found[1] ?? '');
  const isFound = parameters.length > 0;
  return {
    schema: {
      summary: route.summary,
      tags: [route.tag],
      ...(isFound ? { params: parametersOf(parameters.map((name) => [name, `the ${name}`])) } : {}),
      ...(route.query === undefined
        ? {}
        : { querystring: parametersOf(Object.entries(route.query)) }),
      ...(route.body === undefined ? {} : { body: route.body }),
      ...(route.consumes === undefined ? {} : { consumes: route.consumes }),
      response: {
        [route.status ?? 200]: route.answer ?? { type: 'null', description: 'done' },
        '4xx': { $ref: 'Error#' },
        '5xx': { $ref: 'Error#' },
      },
    },
  };
}

export function addRpcRoute(app: FastifyInstance, rpc: Rpc, route: RpcRoute): void {
  const status = route.status ?? 200;
  app.route({
    method: route.method,
    url: route.url,
    ...describe({ ...route, ...(status === 204 ? {} : { answer: answerOfMethod(route.rpc) }) }),
    handler: async (request, reply) => {
      const answer = await rpc.unary(
        route.rpc,
        route.request(inputOf(request)),
        callOptions(request, reply),
      );
      reply.code(status);
      return status === 204 ? reply.send() : sendJson(reply, answer);
    },
  });
}
