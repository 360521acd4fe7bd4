// What a header block says once decoded, and the limits on it.
import type { HeaderField } from './header-field.ts';

/**
 * Up to maxWorkBytes a block over a limit is read to its end, because the tables of both ends must
 * stay equal, but no more of it is kept: the list says so in `refusal`.
 */
export interface HeaderLimits {
  /**
   * Names, values and 32 bytes a field (RFC 9113, 10.5.1); what SETTINGS_MAX_HEADER_LIST_SIZE
   * tells the peer. Above it: the stream is refused.
   */
  readonly maxListBytes: number;
  /** Above it: the stream is refused. */
  readonly maxFields: number;
  /** One name or value, decoded. Above it: the stream is refused. */
  readonly maxStringBytes: number;
  /**
   * Counted like maxListBytes. Above it the connection ends with ENHANCE_YOUR_CALM: a few bytes
   * that name large entries again and again are an attack.
   */
  readonly maxWorkBytes: number;
}

export const DEFAULT_HEADER_LIMITS: HeaderLimits = {
  maxListBytes: 16 * 1024,
  maxFields: 128,
  maxStringBytes: 8 * 1024,
  maxWorkBytes: 128 * 1024,
};

/** Which limit a header list crossed. */
export type HeaderLimit = 'maxListBytes' | 'maxFields' | 'maxStringBytes';

/** The connection lives, the stream is answered with HTTP 431 or RESOURCE_EXHAUSTED. */
export interface HeaderRefusal {
  readonly limit: HeaderLimit;
  readonly maximum: number;
}

/** For a status message: names the limit, never a header's content. */
export function refusalText(refusal: HeaderRefusal): string {
  switch (refusal.limit) {
    case 'maxListBytes':
      return `headers are larger than the limit of ${refusal.maximum} bytes, 32 a field included`;
    case 'maxFields':
      return `more headers than the limit of ${refusal.maximum}`;
    case 'maxStringBytes':
      return `a header's name or value is longer than the limit of ${refusal.maximum} bytes`;
  }
}

const NONE_CHANGED: readonly number[] = [];

/** Blocks of equal meaning may give the same list again: it never changes, the notes excepted. */
export class HeaderList {
  /** In the order of the wire. When refused: those before the limit was crossed. */
  readonly fields: readonly HeaderField[];
  /** As RFC 9113, 10.5.1 counts; all fields, kept or not. */
  readonly listBytes: number;
  readonly refusal: HeaderRefusal | undefined;
  /**
   * Room for what the receiver works out of the fields alone (a parsed request head): a block seen
   * before brings it back, and nothing has to be worked out again.
   */
  note: unknown;
  /** The same room for the connection: whether a message may start like this. */
  verdict: string | number | undefined;
  /** The same of a message's end. */
  endVerdict: string | number | undefined;
  /** A list that this one is equal to, but for the values of the fields in `changed`. */
  readonly base: HeaderList | undefined;
  readonly changed: readonly number[];

  constructor(
    fields: readonly HeaderField[],
    listBytes: number,
    refusal: HeaderRefusal | undefined,
    base: HeaderList | undefined = undefined,
    changed: readonly number[] = NONE_CHANGED,
  ) {
    this.fields = fields;
    this.listBytes = listBytes;
    this.refusal = refusal;
    this.note = undefined;
    this.verdict = undefined;
    this.endVerdict = undefined;
    this.base = base;
    this.changed = changed;
  }
}
