// The edge: REST and uploads in front of router and control. It opens no store; what it holds of a
// request is bounded, and it ends the calls of clients that have gone.

import type { AddressInfo } from 'node:net';
import multipart from '@fastify/multipart';
import swagger from '@fastify/swagger';
import Fastify, { type FastifyInstance } from 'fastify';
import {
  answerBrokenConnection,
  httpServerOptions,
  MAX_HEADER_BYTES,
} from '../common/http-limits.ts';
import type { Log } from '../common/log.ts';
import type { Metrics } from '../common/metrics.ts';
import { type Backend, MAX_MESSAGE_BYTES } from '../transport/backend.ts';
import { checkListen, listenError } from '../transport/listen.ts';
import { checkAdminListen } from '../transport/tls/admin-listen.ts';
import type { BearerTokens } from '../transport/tls/bearer-tokens.ts';
import { createWebServer } from '../transport/tls/http-server.ts';
import type { ServerTls } from '../transport/tls/tls-files.ts';
import { whenAnswered } from './answered.ts';
import { acceptJson, trackBodies } from './body-parsers.ts';
import * as limits from './limits.ts';
import { openApiDocument, sharedSchemas } from './openapi-document.ts';
import { addRefusals, frameworkError, refuseStrangers } from './refusals.ts';
import { countRequests } from './request-metrics.ts';
import { blobRoutes } from './routes/blobs.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { dataSetRoutes } from './routes/datasets.ts';
import { homeRoutes } from './routes/home.ts';
import { inferRoutes } from './routes/infer.ts';
import { jobRoutes } from './routes/jobs.ts';
import { modelRoutes } from './routes/models.ts';
import { oipRoutes } from './routes/oip.ts';
import { adminRpc, inferenceRpc } from './rpc.ts';
import { type BlobSink, createUploads } from './uploads.ts';

export interface GatewayOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The router: it answers the inference calls. */
  readonly inference: Backend;
  /** Control: it answers torus/v1. */
  readonly admin: Backend;
  /** Where uploads are streamed to: a client of control's blob listener. */
  readonly blobs: BlobSink;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The operator's --insecure: listening off loopback without TLS is allowed. */
  readonly isInsecure?: boolean;
  /** Without a CA of clients anybody may connect: see `tokens`. */
  readonly tls?: ServerTls | undefined;
  /** Requests to /api bring one of them; undefined: none, for listeners that few can reach. */
  readonly tokens?: BearerTokens | undefined;
  /** Largest inference request; MAX_MESSAGE_BYTES when absent. */
  readonly maxBodyBytes?: number;
  /** Largest uploaded file; DEFAULT_MAX_UPLOAD_BYTES when absent. */
  readonly maxUploadBytes?: number;
  /** UPLOAD_WINDOW_MS when absent. */
  readonly uploadWindowMs?: number;
  /** HEADERS_TIMEOUT_MS when absent. */
  readonly headersTimeoutMs?: number;
  readonly maxConcurrentUploads?: number;
  /** Time that requests have to end after stop(). */
  readonly drainTimeoutMs?: number;
}

export interface Gateway {
  readonly port: number;
  /** Takes no new request, lets those in flight end within drainTimeoutMs, then cuts them. */
  stop(): Promise<void>;
}

/**
 * @throws FAILED_PRECONDITION for a host off loopback without isInsecure, ALREADY_EXISTS for a port
 * that is taken
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { host, isInsecure = false, tls, tokens } = options;
  checkListen({ host, hasTls: tls !== undefined, isInsecureAllowed: isInsecure });
  checkAdminListen({ host, tls, tokens });
  const stopping = new AbortController();
  const app = createServer(options);
  await build(app, options, stopping.signal);
  try {
    await app.listen({ host, port: options.port });
  } catch (cause) {
    await app.close();
    throw listenError(host, options.port, '--http-port', cause);
  }
  return {
    port: (app.server.address() as AddressInfo).port,
    stop: () => stop(app, stopping, options.drainTimeoutMs ?? limits.DEFAULT_DRAIN_TIMEOUT_MS),
  };
}

function createServer(options: GatewayOptions): FastifyInstance {
  const { log, headersTimeoutMs, tls } = options;
  const http = httpServerOptions(headersTimeoutMs === undefined ? {} : { headersTimeoutMs });
  const app = Fastify({
    logger: false,
    serverFactory: (handler) => {
      const server = createWebServer(http, tls && { ...tls, log }, handler);
      server.keepAliveTimeout = limits.KEEP_ALIVE_TIMEOUT_MS;
      server.setTimeout(limits.IDLE_CONNECTION_TIMEOUT_MS);
      return server;
    },
    keepAliveTimeout: limits.KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    frameworkErrors: frameworkError(log),
    clientErrorHandler: answerBrokenConnection,
  });
  app.server.maxConnections = limits.MAX_CONNECTIONS;
  // Schemas describe; what is right is decided by the contracts' descriptors and by control.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  return app;
}

async function build(
  app: FastifyInstance,
  options: GatewayOptions,
  stopping: AbortSignal,
): Promise<void> {
  const { log, metrics, blobs, maxBodyBytes = MAX_MESSAGE_BYTES } = options;
  refuseStrangers(app, options.tokens);
  closeWhenAnswered(app, stopping);
  countRequests(app, metrics);
  addRefusals(app, log);
  trackBodies(app);
  await app.register(swagger, openApiDocument());
  await app.register(multipart);
  for (const schema of sharedSchemas()) app.addSchema(schema);
  const admin = adminRpc(options.admin);
  const inference = inferenceRpc(options.inference);
  const uploads = createUploads({
    blobs,
    maxBytes: options.maxUploadBytes ?? limits.DEFAULT_MAX_UPLOAD_BYTES,
    ...(options.uploadWindowMs === undefined ? {} : { windowMs: options.uploadWindowMs }),
    ...(options.maxConcurrentUploads === undefined
      ? {}
      : { maxConcurrent: options.maxConcurrentUploads }),
  });
  await app.register(async (scope) => {
    acceptJson(scope, { maxBytes: maxBodyBytes, isAnyType: true });
    oipRoutes(scope, inference);
  });
  await app.register(async (scope) => {
    acceptJson(scope, { maxBytes: limits.MAX_ADMIN_BODY_BYTES, isAnyType: false });
    modelRoutes(scope, admin, uploads);
    dataSetRoutes(scope, admin, uploads);
    jobRoutes(scope, admin, stopping);
    clusterRoutes(scope, admin);
    homeRoutes(scope);
  });
  await app.register(async (scope) => inferRoutes(scope, options.inference, maxBodyBytes));
  await app.register(async (scope) => blobRoutes(scope, uploads));
}

/** A connection that was busy when the server stopped is of no use once its answer is out. */
function closeWhenAnswered(app: FastifyInstance, stopping: AbortSignal): void {
  app.addHook('onRequest', async (_request, reply) => {
    whenAnswered(reply, () => {
      if (stopping.aborted) setImmediate(() => app.server.closeIdleConnections());
    });
  });
}

async function stop(
  app: FastifyInstance,
  stopping: AbortController,
  drainTimeoutMs: number,
): Promise<void> {
  stopping.abort();
  const timer = setTimeout(() => app.server.closeAllConnections(), drainTimeoutMs);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}
