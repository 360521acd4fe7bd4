// Where a request goes, worked out of its header fields. Callers send the same fields again and
// again, and the decoder gives the same list for them: the route is kept with it.
import { Code, StatusError } from '../../common/status.ts';
import type { Backend, MethodKind } from '../backend.ts';
import { type HttpRefusal, RequestHead } from '../grpc/request-head.ts';
import { parseTimeoutMs } from '../grpc/timeout.ts';
import type { HeaderField } from '../http2/hpack/header-field.ts';
import type { HeaderList } from '../http2/hpack/header-list.ts';
import { fieldsToPassOn, type RawBackend } from '../raw-call.ts';

const LONGEST_SHOWN_PATH = 200;

/** `failed` is answered with its error, `refused` in plain HTTP. */
export type Way = 'unary' | 'stream' | 'raw' | 'failed' | 'refused';

/** What of a head differs from call to call and says nothing of where it goes. */
const TIMEOUT = 'grpc-timeout';

export class Route {
  readonly head: RequestHead;
  /** Undefined: the caller named none. */
  readonly timeoutMs: number | undefined;
  readonly way: Way;
  readonly kind: MethodKind;
  /** Why it failed; undefined when it didn't. */
  readonly error: StatusError | undefined;
  readonly #list: HeaderList;

  constructor(
    list: HeaderList,
    head: RequestHead,
    way: Way,
    kind: MethodKind,
    error: StatusError | undefined,
    timeoutMs: number | undefined,
  ) {
    this.head = head;
    this.way = way;
    this.kind = kind;
    this.error = error;
    this.timeoutMs = timeoutMs;
    this.#list = list;
  }

  /** The same but for the timeout. */
  within(timeoutMs: number): Route {
    return new Route(this.#list, this.head, this.way, this.kind, this.error, timeoutMs);
  }

  get refusal(): HttpRefusal | undefined {
    return this.head.refusal;
  }

  /** An answer to HEAD has no content. */
  get isHead(): boolean {
    return this.#list.fields.some(({ name, value }) => name === ':method' && value === 'HEAD');
  }

  /** The same array for the same list, and for lists that differ in their timeout. */
  get passedOn(): readonly HeaderField[] {
    const { head } = this;
    head.passedOn ??= fieldsToPassOn(this.#list.fields);
    return head.passedOn;
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
  const route = routeByBase(list, backend, raw) ?? newRoute(list, backend, raw);
  list.note = route;
  return route;
}

function newRoute(list: HeaderList, backend: Backend, raw: RawBackend | undefined): Route {
  const head = new RequestHead(list);
  const rawKind = raw?.rawMethods.get(head.path);
  const kind = rawKind ?? backend.methods.get(head.path);
  const error = head.error ?? (kind === undefined ? unknownPath(head.path) : undefined);
  let way: Way = kind === 'unary' ? 'unary' : 'stream';
  if (head.refusal !== undefined) way = 'refused';
  else if (error !== undefined) way = 'failed';
  else if (rawKind !== undefined) way = 'raw';
  return new Route(list, head, way, kind ?? 'unary', error, head.timeoutMs);
}

/** Where only the timeout differs from that of a list whose route is known. */
function routeByBase(
  { base, changed, fields }: HeaderList,
  backend: Backend,
  raw: RawBackend | undefined,
): Route | undefined {
  const [index] = changed;
  if (base === undefined || index === undefined || changed.length > 1) return undefined;
  const field = fields[index];
  if (field?.name !== TIMEOUT) return undefined;
  const route = routeOf(base, backend, raw);
  if (route.error !== undefined) return undefined;
  try {
    return route.within(parseTimeoutMs(field.value));
  } catch {
    // What is wrong with it is told by the whole head.
    return undefined;
  }
}
