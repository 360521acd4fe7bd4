// The header fields of requests. What is the same for every call of a method is one list, made
// once, which connections send in a few bytes; what differs, the time left and metadata, is apart.
import { Code, invalidArgument, StatusError } from '../../common/status.ts';
import type { Metadata } from '../backend.ts';
import { ACCEPT_ENCODING_FIELD } from '../grpc/encoding.ts';
import { addFields } from '../grpc/metadata.ts';
import { formatTimeout } from '../grpc/timeout.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { headerField } from '../http2/hpack/header-field.ts';

/** Methods whose lists are kept; those of others are made for each call. */
const MAX_KEPT_PATHS = 256;
/** Kept heads of calls that are passed on, for each method. */
const MAX_KEPT_HEADS = 4;
const USER_AGENT = 'torus';

const PATH = /^\/[!-~]+$/;
const MAX_SHOWN_CHARACTERS = 100;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/** A timeout keeps three digits at least: what is rounded up is under a thousandth. */
const LEAST_STEPS = 1000;

const NO_FIELDS: readonly HeaderField[] = [];

/** Rounds up to the next of few values, so that the heads of like calls are alike. */
export function coarseTimeoutMs(timeoutMs: number): number {
  if (timeoutMs === Number.POSITIVE_INFINITY) return timeoutMs;
  const timeoutUs = Math.max(1, Math.ceil(timeoutMs * 1000));
  let stepUs = 1;
  while (stepUs * LEAST_STEPS * 10 <= timeoutUs) stepUs *= 10;
  return (Math.ceil(timeoutUs / stepUs) * stepUs) / 1000;
}

interface OfPath {
  /** Of a call that begins here. */
  readonly own: readonly HeaderField[];
  /** What stands before the fields of a call that is passed on. */
  readonly pseudo: readonly HeaderField[];
  readonly heads: PassedHead[];
  nextHead: number;
  /** The fields seen last that have no head here: when they come again, they get one. */
  missed: readonly HeaderField[] | undefined;
}

interface PassedHead {
  readonly fields: readonly HeaderField[];
  readonly constant: readonly HeaderField[];
}

export class RequestHeaders {
  readonly #scheme: string;
  readonly #authority: string;
  readonly #credentials: readonly HeaderField[];
  readonly #paths = new Map<string, OfPath>();
  /** Of the last call with one; the next one's is the same, almost always. */
  #timeoutMs = Number.NaN;
  #timeout: readonly HeaderField[] = NO_FIELDS;

  /** @param bearerToken of this client, for the calls that begin here */
  constructor(authority: string, isTls: boolean, bearerToken?: string) {
    this.#scheme = isTls ? 'https' : 'http';
    this.#authority = authority;
    this.#credentials =
      bearerToken === undefined
        ? NO_FIELDS
        : [headerField('authorization', `Bearer ${bearerToken}`, true)];
  }

  /** @throws StatusError INVALID_ARGUMENT for what no path can be */
  constant(path: string): readonly HeaderField[] {
    return this.#of(path).own;
  }

  /** @throws StatusError INVALID_ARGUMENT when metadata can't be header fields */
  varying(leftMs: number, metadata: Metadata): readonly HeaderField[] {
    const timeout = this.timeout(leftMs);
    if (metadata.length === 0) return timeout;
    const fields = [...timeout];
    addFields(fields, metadata);
    return fields;
  }

  /** What stands before the fields of a call that is passed on. @throws as constant() */
  beforePassed(path: string): readonly HeaderField[] {
    return this.#of(path).pseudo;
  }

  /**
   * beforePassed() and `fields` as they are, in one list, the same for the same fields. Undefined:
   * they have not come before.
   * @throws StatusError INVALID_ARGUMENT when one of them can't be a header field
   */
  passedOn(path: string, fields: readonly HeaderField[]): readonly HeaderField[] | undefined {
    const known = this.#of(path);
    for (const head of known.heads) if (isSame(head.fields, fields)) return head.constant;
    for (const field of fields) check(field);
    if (known.missed === undefined || !isSame(known.missed, fields)) {
      known.missed = fields;
      return undefined;
    }
    const constant = [...known.pseudo, ...fields];
    known.heads[known.nextHead] = { fields, constant };
    known.nextHead = (known.nextHead + 1) % MAX_KEPT_HEADS;
    return constant;
  }

  #of(path: string): OfPath {
    const known = this.#paths.get(path);
    if (known !== undefined) return known;
    if (!PATH.test(path)) {
      const shown = JSON.stringify(path.slice(0, MAX_SHOWN_CHARACTERS));
      throw invalidArgument(`${shown} is no path of a call, /package.Service/Method is`);
    }
    const pseudo = [
      headerField(':method', 'POST'),
      headerField(':scheme', this.#scheme),
      headerField(':path', path),
      headerField(':authority', this.#authority),
      headerField('te', 'trailers'),
    ];
    const own = [
      ...pseudo,
      headerField('content-type', 'application/grpc'),
      headerField('user-agent', USER_AGENT),
      ACCEPT_ENCODING_FIELD,
      ...this.#credentials,
    ];
    const made: OfPath = { own, pseudo, heads: [], nextHead: 0, missed: undefined };
    if (this.#paths.size < MAX_KEPT_PATHS) this.#paths.set(path, made);
    return made;
  }

  /** The field that tells the time left; none for Infinity. */
  timeout(leftMs: number): readonly HeaderField[] {
    const coarseMs = coarseTimeoutMs(leftMs);
    if (coarseMs !== this.#timeoutMs) {
      const text = formatTimeout(coarseMs);
      this.#timeoutMs = coarseMs;
      this.#timeout = text === undefined ? NO_FIELDS : [headerField('grpc-timeout', text)];
    }
    return this.#timeout;
  }
}

function isSame(one: readonly HeaderField[], other: readonly HeaderField[]): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  for (let at = 0; at < one.length; at++) {
    const [a, b] = [one[at], other[at]];
    if (a === b || a === undefined || b === undefined) continue;
    if (a.name !== b.name || a.value !== b.value || a.isSecret !== b.isSecret) return false;
  }
  return true;
}

/** What no header may hold (RFC 9113, 8.2.1), wherever it came from. The value is not told. */
function check({ name, value }: HeaderField): void {
  if (!NAME.test(name)) throw invalidArgument(`${JSON.stringify(name)} is no name of a header`);
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code <= 13 && (code === 0 || code === 10 || code === 13)) {
      throw new StatusError(
        Code.INVALID_ARGUMENT,
        `the value of header ${name} has a character that no header may have: NUL, CR or LF`,
      );
    }
  }
}
