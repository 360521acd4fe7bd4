// What an HTTP request says about the call that is made for it: its deadline, its trace, and that
// it ends when the client goes away.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { invalidArgument } from '../common/status.ts';
import { DEFAULT_DEADLINE_MS, type Metadata } from '../transport/backend.ts';
import type { InvokeOptions } from '../transport/invoke.ts';
import { whenAnswered } from './answered.ts';
import { MAX_DEADLINE_MS } from './limits.ts';

/** The gRPC-over-HTTP2 header, which REST gateways take too: digits and a unit, '500m', '10S'. */
const DEADLINE_HEADER = 'grpc-timeout';

const TIMEOUT = /^(\d{1,8})([HMSmun])$/;
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Absent: the default of every call. @throws INVALID_ARGUMENT */
export function timeoutOf(header: string | undefined): number {
  if (header === undefined) return DEFAULT_DEADLINE_MS;
  const [, digits, unit = ''] = TIMEOUT.exec(header.trim()) ?? [];
  const unitMs = UNIT_MS[unit];
  if (digits === undefined || unitMs === undefined) {
    throw invalidArgument(
      `header ${DEADLINE_HEADER} ${JSON.stringify(header.slice(0, 32))} is no duration: give up ` +
        'to 8 digits and a unit of H, M, S, m (milliseconds), u or n, like 500m',
    );
  }
  return Math.min(Number(digits) * unitMs, MAX_DEADLINE_MS);
}

const FORWARDED = ['traceparent', 'tracestate'] as const;

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function metadataOf(request: FastifyRequest): Metadata {
  return FORWARDED.flatMap((key) => {
    const value = one(request.headers[key]);
    return value === undefined ? [] : [[key, value] as const];
  });
}

/**
 * Aborts when the connection closes before the answer is out. (Fastify's request.signal listens to
 * the request, which also closes when its body has been read.)
 */
export function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  whenAnswered(reply, (isAnswered) => {
    if (!isAnswered) controller.abort();
  });
  return controller.signal;
}

/** For a call with one answer. @throws INVALID_ARGUMENT for a deadline that is none */
export function callOptions(request: FastifyRequest, reply: FastifyReply): InvokeOptions {
  const timeoutMs = timeoutOf(one(request.headers[DEADLINE_HEADER]));
  return { timeoutMs, metadata: metadataOf(request), signal: clientGone(reply) };
}

/** For a stream: it lives until one side ends it. */
export function streamOptions(request: FastifyRequest, signal: AbortSignal): InvokeOptions {
  return { metadata: metadataOf(request), signal };
}
