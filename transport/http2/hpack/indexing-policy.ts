// Which fields go into the dynamic table: those likely to come again, never those an attacker could
// guess by watching lengths (RFC 7541, 7.1).
import type { HeaderField } from './header-field.ts';

/** `never`: also no hop after us may index it (never-indexed literal, RFC 7541, 6.2.3). */
export type Indexing = 'incremental' | 'without' | 'never';

const SECRET_NAMES: readonly string[] = [
  'authorization',
  'cookie',
  'proxy-authorization',
  'set-cookie',
];

/** Differ from call to call: in the table they would push out what repeats. */
const VOLATILE_NAMES: readonly string[] = [
  'age',
  'content-length',
  'date',
  'etag',
  'grpc-message',
  'grpc-status-details-bin',
  'grpc-timeout',
  'grpc-trace-bin',
  'if-modified-since',
  'if-none-match',
  'last-modified',
  'location',
  'traceparent',
  'tracestate',
  'x-request-id',
];

export class IndexingPolicy {
  /** Without names of one's own: all that need no others share this. */
  static readonly DEFAULT = new IndexingPolicy();

  readonly #byName = new Map<string, Indexing>();

  /** @param secretNames lower case; sent as never-indexed like authorization and cookies. */
  constructor(secretNames: readonly string[] = []) {
    for (const name of VOLATILE_NAMES) this.#byName.set(name, 'without');
    for (const name of SECRET_NAMES) this.#byName.set(name, 'never');
    for (const name of secretNames) this.#byName.set(name, 'never');
  }

  indexingOf(field: HeaderField): Indexing {
    if (field.isSecret) return 'never';
    return this.#byName.get(field.name) ?? 'incremental';
  }
}
