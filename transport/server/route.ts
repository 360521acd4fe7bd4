// Where a request goes, worked out of its header fields. Callers send the same fields again and
// again, and the decoder gives the same list for them: the route is kept with it.
import { Code, StatusError } from '../../common/status.ts';
import type { Backend, MethodKind } from '../backend.ts';
import { type HttpRefusal, RequestHead } from '../grpc/request-head.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import { fieldsToPassOn, type RawBackend } from '../raw-call.ts';

const LONGEST_SHOWN_PATH = 200;

/** `failed` is answered with its error, `refused` in plain HTTP. */
export type Way = 'unary' | 'stream' | 'raw' | 'failed' | 'refused';

export class Route {
  readonly head: RequestHead;
  readonly way: Way;
  readonly kind: MethodKind;
  /** Why it failed; undefined when it didn't. */
  readonly error: StatusError | undefined;
  readonly #list: HeaderList;
  #passedOn: readonly HeaderField[] | undefined;

  constructor(list: HeaderList, backend: Backend, raw: RawBackend | undefined) {
    const head = new RequestHead(list);
    const rawKind = raw?.rawMethods.get(head.path);
    const kind = rawKind ?? backend.methods.get(head.path);
    this.head = head;
    this.#list = list;
    this.kind = kind ?? 'unary';
    this.error = head.error ?? (kind === undefined ? unknownPath(head.path) : undefined);
    if (head.refusal !== undefined) this.way = 'refused';
    else if (this.error !== undefined) this.way = 'failed';
    else if (rawKind !== undefined) this.way = 'raw';
    else this.way = kind === 'unary' ? 'unary' : 'stream';
  }

  get refusal(): HttpRefusal | undefined {
    return this.head.refusal;
  }

  /** An answer to HEAD has no content. */
  get isHead(): boolean {
    return this.#list.fields.some(({ name, value }) => name === ':method' && value === 'HEAD');
  }

  /** The same array for the same list. */
  get passedOn(): readonly HeaderField[] {
    this.#passedOn ??= fieldsToPassOn(this.#list.fields);
    return this.#passedOn;
  }
}

function unknownPath(path: string): StatusError {
  const isLong = path.length > LONGEST_SHOWN_PATH;
  const shown = isLong ? `${path.slice(0, LONGEST_SHOWN_PATH)}...` : path;
  return new StatusError(Code.UNIMPLEMENTED, `unknown method ${shown}`);
}

/** The lists of a connection have one owner: what is kept with them was worked out here. */
export function routeOf(list: HeaderList, backend: Backend, raw: RawBackend | undefined): Route {
  if (list.note instanceof Route) return list.note;
  const route = new Route(list, backend, raw);
  list.note = route;
  return route;
}
