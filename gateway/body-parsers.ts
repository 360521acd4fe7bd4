// How JSON bodies come in: read under a limit, counted against what all requests may hold, and no
// deeper than allowed.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Code, invalidArgument, statusOf } from '../common/status.ts';
import { whenAnswered } from './answered.ts';
import { BodyBudget, BodyShare, readBody } from './body.ts';
import { HttpError } from './http-error.ts';
import { checkDepth } from './json-depth.ts';

const shares = new WeakMap<IncomingMessage, BodyShare>();

/** Gives back what a request's body held, once its answer has gone or its client has. */
export function trackBodies(app: FastifyInstance): void {
  const budget = new BodyBudget();
  app.addHook('onRequest', async (request, reply) => {
    const share = new BodyShare(budget);
    shares.set(request.raw, share);
    whenAnswered(reply, () => share.release());
  });
}

/** The body's bytes. @throws as readBody() */
export async function bodyBytes(request: FastifyRequest, maxBytes: number): Promise<Buffer> {
  const share = shares.get(request.raw);
  if (share === undefined) throw new Error('trackBodies() was not called');
  return readBody(request.raw, { headers: request.headers, maxBytes, share });
}

/** @throws INVALID_ARGUMENT */
function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw invalidArgument('the request body is not valid UTF-8');
  checkDepth(bytes);
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch (cause) {
    throw invalidArgument(`failed to parse the request JSON buffer: ${statusOf(cause).message}`);
  }
}

export interface JsonScope {
  readonly maxBytes: number;
  /** What `curl -d` sends without a header is JSON too. */
  readonly isAnyType: boolean;
}

/** Bodies of this scope are JSON. */
export function acceptJson(app: FastifyInstance, { maxBytes, isAnyType }: JsonScope): void {
  app.removeContentTypeParser(['application/json', 'text/plain']);
  const parse = async (request: FastifyRequest): Promise<unknown> =>
    parseJson(await bodyBytes(request, maxBytes));
  app.addContentTypeParser('application/json', parse);
  app.addContentTypeParser('*', async (request: FastifyRequest) => {
    if (isAnyType) return parse(request);
    const type = request.headers['content-type'] ?? 'none';
    const text = `content-type ${type.slice(0, 64)} is not taken here: send application/json`;
    throw new HttpError(415, Code.INVALID_ARGUMENT, text);
  });
}
