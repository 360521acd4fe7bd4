// What the header fields of a request say (gRPC over HTTP/2, Requests), in one pass. Clients send
// the same fields call after call and the decoder gives the same list for them: what was worked out
// is kept with the list, so that it is worked out once.
import { Code, StatusError, statusOf } from '../../common/status.ts';
import type { Metadata } from '../backend.ts';
import { NO_METADATA } from '../backend.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import { type HeaderList, refusalText } from '../http2/hpack/header-list.ts';
import { accepts, type Encoding, encodingOf } from './encoding.ts';
import { addEntries, type MetadataEntry } from './metadata.ts';
import { parseTimeoutMs } from './timeout.ts';
import { WIRE_NAMES } from './wire-names.ts';

/** An answer in plain HTTP to what is not gRPC (gRPC over HTTP/2, "Responses"). */
export interface HttpRefusal {
  readonly httpStatus: 405 | 415 | 431;
  readonly text: string;
}

/** 'application/grpc', with nothing, '+' or ';' behind it. */
const CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/;

export class RequestHead {
  /** '/package.Service/Method' */
  path = '';
  authority = '';
  /** Undefined: the caller named none. */
  timeoutMs: number | undefined = undefined;
  /** Of messages that come with their compressed flag set. */
  encoding: Encoding = 'identity';
  /** Not a gRPC call at all: to be answered in plain HTTP. */
  refusal: HttpRefusal | undefined = undefined;
  /** A gRPC call that can't be taken: to be answered with this. */
  error: StatusError | undefined = undefined;
  /** Room for its owner: what of the fields goes on to the next hop. */
  passedOn: readonly HeaderField[] | undefined = undefined;
  #entries: MetadataEntry[] | undefined = undefined;
  #acceptEncoding: string | undefined = undefined;
  #method = '';
  #contentType = '';

  constructor(list: HeaderList) {
    for (const field of list.fields) {
      try {
        this.#take(field);
      } catch (thrown) {
        this.error ??= statusOf(thrown);
      }
    }
    this.#check(list);
  }

  get metadata(): Metadata {
    return this.#entries ?? NO_METADATA;
  }

  /** May answers be compressed with it? */
  accepts(encoding: Encoding): boolean {
    return accepts(encoding, this.#acceptEncoding);
  }

  #take(field: HeaderField): void {
    const { name, value } = field;
    switch (WIRE_NAMES.get(name)) {
      case undefined:
        this.#entries ??= [];
        addEntries(this.#entries, field);
        break;
      case 'method':
        this.#method = value;
        break;
      case 'path':
        this.path = value;
        break;
      case 'authority':
        this.authority = value;
        break;
      case 'content-type':
        this.#contentType = value;
        break;
      case 'timeout':
        this.timeoutMs = parseTimeoutMs(value);
        break;
      case 'encoding':
        this.encoding = encodingOf(value);
        break;
      case 'accept-encoding':
        this.#acceptEncoding = value;
        break;
    }
  }

  #check(list: HeaderList): void {
    const isGrpc = CONTENT_TYPE.test(this.#contentType);
    if (list.refusal !== undefined) {
      // The fields that would tell gRPC from other requests may be among those not kept.
      const text = refusalText(list.refusal);
      if (isGrpc) this.error = new StatusError(Code.RESOURCE_EXHAUSTED, text);
      else this.refusal = { httpStatus: 431, text };
    } else if (this.#method !== 'POST') {
      this.refusal = { httpStatus: 405, text: 'gRPC calls are POST requests' };
    } else if (!isGrpc) {
      this.refusal = { httpStatus: 415, text: 'content-type of gRPC calls is application/grpc' };
    }
  }
}

/** The head that `list` says, from the time before when it is the same list. */
export function requestHead(list: HeaderList): RequestHead {
  if (list.note instanceof RequestHead) return list.note;
  const head = new RequestHead(list);
  list.note = head;
  return head;
}
