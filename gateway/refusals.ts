// What is answered when no route takes a request, or when one throws: always the same JSON.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../common/log.ts';
import { Code, httpStatusOf, StatusError } from '../common/status.ts';
import type { BearerTokens } from '../transport/tls/bearer-tokens.ts';
import { ACCEPTED_ENCODINGS } from './body.ts';
import { answerOf, HttpError } from './http-error.ts';

/** Routes that need no token; '' is what no route takes. */
const OPEN = ['', '/', '/openapi.json', '/v2'];
/** After these the rest of the body is not read: the connection can't carry another request. */
const CLOSING = [401, 408, 413];

function sendError(request: FastifyRequest, reply: FastifyReply, thrown: unknown, log: Log): void {
  const { httpStatus, body, isUnforeseen } = answerOf(thrown);
  if (isUnforeseen) log.error({ err: thrown, url: request.url }, 'request failed');
  if (CLOSING.includes(httpStatus)) reply.header('connection', 'close');
  if (httpStatus === 401) reply.header('www-authenticate', 'Bearer');
  if (httpStatus === 503) reply.header('retry-after', '1');
  if (httpStatus === httpStatusOf(Code.UNIMPLEMENTED)) {
    reply.header('accept-encoding', ACCEPTED_ENCODINGS);
  }
  reply.code(httpStatus).type('application/json; charset=utf-8').send(JSON.stringify(body));
}

/** Before any route is looked for: an address that is no address, a header that is none. */
export function frameworkError(log: Log) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void =>
    sendError(request, reply, error, log);
}

/**
 * Browsers say where a request comes from; one made by another site's page is refused, since a
 * gateway on loopback would trust it.
 */
function refuseForeignPages(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    const site = request.headers['sec-fetch-site'];
    if (request.method === 'GET' || request.method === 'HEAD' || site === undefined) return;
    if (site === 'same-origin' || site === 'none') return;
    const text = 'requests that change something are not taken from pages of other sites';
    throw new StatusError(Code.PERMISSION_DENIED, text);
  });
}

/** Whoever changes the cluster over this gateway shows that he may. */
export function refuseStrangers(app: FastifyInstance, tokens: BearerTokens | undefined): void {
  if (tokens === undefined) return;
  app.addHook('onRequest', async (request) => {
    if (isInference(request)) return;
    tokens.check(request.headers.authorization);
  });
}

/**
 * What the router answers by itself. Told by the route rather than by the address as it came, which
 * may be written in several ways.
 */
function isInference({ routeOptions: { url = '' } }: FastifyRequest): boolean {
  if (/^\/v2\/repository\/models\//.test(url)) return false;
  return OPEN.includes(url) || url.startsWith('/v2/');
}

interface KnownRoute {
  readonly method: string;
  readonly pattern: RegExp;
}

/** Wrong method on a known address: 405 with the ones that are right. Unknown address: 404. */
function refuseUnknown(app: FastifyInstance, log: Log): void {
  const routes: KnownRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
    for (const one of [method].flat()) routes.push({ method: one, pattern });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const allowed = routes.filter(({ pattern }) => pattern.test(path)).map((one) => one.method);
    if (allowed.length === 0) {
      sendError(request, reply, new StatusError(Code.NOT_FOUND, 'Not Found'), log);
      return;
    }
    const methods = [...new Set(allowed)].join(', ');
    reply.header('allow', methods);
    const text = `Method Not Allowed: this address takes ${methods}`;
    sendError(request, reply, new HttpError(405, Code.UNIMPLEMENTED, text), log);
  });
}

/** To be called before routes are added. */
export function addRefusals(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error, request, reply) => sendError(request, reply, error, log));
  refuseForeignPages(app);
  refuseUnknown(app, log);
}
