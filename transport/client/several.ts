// Several servers that answer the same, as one: calls go to them in turn. One that could not be
// reached gets none for a while, and a unary call that surely never reached a handler goes to the
// next. What may have run is not sent again: whoever calls knows whether that is safe.
import { type Clock, systemClock } from '../../common/clock.ts';
import type { StatusError } from '../../common/status.ts';
import {
  type Backend,
  ConnectionLost,
  type Metadata,
  type MethodKind,
  NO_METADATA,
  type StreamCall,
  type UnaryCall,
} from '../backend.ts';

/** Who could not be reached is passed over for so long, while there are others. */
export const PASSED_OVER_MS = 1_000;

interface Server {
  readonly backend: Backend;
  passedOverUntilMs: number;
}

export class Several implements Backend {
  readonly methods: ReadonlyMap<string, MethodKind>;
  readonly #servers: readonly Server[];
  readonly #clock: Clock;
  #next = 0;

  /** @param backends one or more, with the same methods */
  constructor(backends: readonly Backend[], clock: Clock = systemClock) {
    this.methods = backends[0]?.methods ?? new Map();
    this.#servers = backends.map((backend) => ({
      ...{ backend, passedOverUntilMs: Number.NEGATIVE_INFINITY },
    }));
    this.#clock = clock;
  }

  unary(call: UnaryCall): void {
    const attempt = new Attempt(call, (error) => this.#tryNext(attempt, error));
    const server = this.#pick(attempt.tried);
    if (server !== undefined) attempt.send(server);
  }

  stream(call: StreamCall): void {
    this.#pick(new Set())?.backend.stream(call);
  }

  /** False: the caller gets the error. */
  #tryNext({ call, server, tried, send }: Attempt, error: StatusError): boolean {
    if (!(error instanceof ConnectionLost) || server === undefined) return false;
    server.passedOverUntilMs = this.#clock.nowMs() + PASSED_OVER_MS;
    if (error.mayHaveRun || call.isCancelled) return false;
    const next = this.#pick(tried);
    if (next !== undefined) send(next);
    return next !== undefined;
  }

  /** The next in turn; of those that are passed over only where there are no others. */
  #pick(tried: ReadonlySet<Server>): Server | undefined {
    const open = this.#servers.filter((one) => !tried.has(one));
    const nowMs = this.#clock.nowMs();
    const reachable = open.filter(({ passedOverUntilMs }) => nowMs >= passedOverUntilMs);
    const among = reachable.length > 0 ? reachable : open;
    this.#next += 1;
    return among[this.#next % Math.max(1, among.length)];
  }
}

/** A unary call, at one server after the other. */
class Attempt {
  readonly call: UnaryCall;
  readonly tried = new Set<Server>();
  server: Server | undefined = undefined;
  readonly #goesOn: (error: StatusError) => boolean;

  constructor(call: UnaryCall, goesOn: (error: StatusError) => boolean) {
    this.call = call;
    this.#goesOn = goesOn;
  }

  readonly send = (server: Server): void => {
    const { call } = this;
    this.server = server;
    this.tried.add(server);
    const sent = new Sending(call, (error, trailers) => {
      if (!this.#goesOn(error)) call.fail(error, trailers);
    });
    call.onCancel = () => sent.cancel();
    server.backend.unary(sent);
  };
}

class Sending implements UnaryCall {
  answerMetadata: Metadata = NO_METADATA;
  isCancelled = false;
  onCancel: (() => void) | undefined = undefined;
  readonly #call: UnaryCall;
  readonly #failed: (error: StatusError, trailers?: Metadata) => void;
  #isDone = false;

  constructor(call: UnaryCall, failed: (error: StatusError, trailers?: Metadata) => void) {
    this.#call = call;
    this.#failed = failed;
  }

  get path(): string {
    return this.#call.path;
  }
  get metadata(): Metadata {
    return this.#call.metadata;
  }
  get deadlineMs(): number {
    return this.#call.deadlineMs;
  }
  get peer(): string {
    return this.#call.peer;
  }
  get request(): Uint8Array {
    return this.#call.request;
  }

  succeed(response: Uint8Array, trailers?: Metadata): void {
    if (this.#isDone) return;
    this.#isDone = true;
    if (this.answerMetadata.length > 0) this.#call.answerMetadata = this.answerMetadata;
    this.#call.succeed(response, trailers);
  }

  fail(error: StatusError, trailers?: Metadata): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#failed(error, trailers);
  }

  cancel(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.isCancelled = true;
    this.onCancel?.();
  }
}
