// What the header fields of an answer say (gRPC over HTTP/2, Responses), in one pass. Servers send
// the same fields call after call and the decoder gives the same list for them: what was worked out
// is kept with the list, so that it is worked out once.
import { Code, StatusError, statusOf } from '../../common/status.ts';
import { type Metadata, NO_METADATA } from '../backend.ts';
import { type Encoding, encodingOf } from '../grpc/encoding.ts';
import { codeOfHttpStatus } from '../grpc/http-status.ts';
import { fromFields } from '../grpc/metadata.ts';
import { type Outcome, readOutcome } from '../grpc/status-fields.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';

/** 'application/grpc', with nothing, '+' or ';' behind it. */
const CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/;
const MAX_SHOWN_CHARACTERS = 60;

export class ResponseHead {
  httpStatus = 0;
  /** Of messages that come with their compressed flag set. */
  encoding: Encoding = 'identity';
  /** Its grpc-status came with it: if the content ends here, that is how the call ended. */
  hasStatus = false;
  /** What the server's application put into it. */
  metadata: Metadata = NO_METADATA;
  #code: Code = Code.OK;
  /** '' for a head that an answer may have. */
  #fault = '';

  constructor(list: HeaderList) {
    let contentType: string | undefined;
    for (const { name, value } of list.fields) {
      if (name === ':status') this.httpStatus = Number(value);
      else if (name === 'content-type') contentType ??= value;
      else if (name === 'grpc-status') this.hasStatus = true;
      else if (name === 'grpc-encoding') this.#takeEncoding(value);
    }
    if (this.httpStatus !== 200) {
      const text = `answered with HTTP status ${this.httpStatus}${named(contentType)}`;
      this.#refuse(codeOfHttpStatus(this.httpStatus), text);
    } else if (!CONTENT_TYPE.test(contentType ?? '')) {
      this.#refuse(Code.UNKNOWN, `answered${named(contentType)}, not application/grpc`);
    } else this.#takeMetadata(list);
  }

  /** Why this is no answer to a gRPC call; undefined: it is one. */
  error(): StatusError | undefined {
    return this.#fault === '' ? undefined : new StatusError(this.#code, this.#fault);
  }

  #takeMetadata(list: HeaderList): void {
    try {
      this.metadata = fromFields(list.fields);
    } catch (thrown) {
      this.#refuse(Code.INTERNAL, statusOf(thrown).message);
    }
  }

  #takeEncoding(value: string): void {
    try {
      this.encoding = encodingOf(value);
    } catch (thrown) {
      // It is the server that chose what this side never offered.
      this.#refuse(Code.INTERNAL, statusOf(thrown).message);
    }
  }

  #refuse(code: Code, text: string): void {
    this.#code = code;
    this.#fault = text;
  }
}

function named(contentType: string | undefined): string {
  if (contentType === undefined) return ' and without content-type';
  return ` and content-type ${JSON.stringify(contentType.slice(0, MAX_SHOWN_CHARACTERS))}`;
}

/** The head that `list` says, from the time before when it is the same list. */
export function responseHead(list: HeaderList): ResponseHead {
  if (list.note instanceof ResponseHead) return list.note;
  const head = new ResponseHead(list);
  list.note = head;
  return head;
}

/** A call that ended well, as its trailers say; errors are made anew for each call. */
class GoodOutcome {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    this.outcome = outcome;
  }
}

/** How a call ended, as `list` says: trailers, or a head that nothing follows. */
export function outcomeOf(list: HeaderList, httpStatus: number): Outcome {
  if (list.note instanceof GoodOutcome) return list.note.outcome;
  const outcome = readOutcome(list.fields, httpStatus);
  if (outcome.error === undefined) list.note = new GoodOutcome(outcome);
  return outcome;
}
