// Calls for models that are loaded on demand: the first one has its model loaded, and all of them
// wait in front of the services until it is READY. A node without such models passes calls on at
// no cost. Waiting is bounded in calls, bytes and time: a call waits to just before its deadline.
import type { Clock } from '../common/clock.ts';
import { parseVersion } from '../common/names.ts';
import { Code, StatusError, unavailable } from '../common/status.ts';
import { type ModelCall, scanModelCall } from '../proto/oip/scan.ts';
import type { Backend, MethodKind, StreamCall, UnaryCall } from '../transport/backend.ts';
import type { Copies } from './copies.ts';
import { DemandStream, type Passing } from './demand-stream.ts';

export interface GateLimits {
  /** One more call is refused with UNAVAILABLE. */
  readonly maxCalls: number;
  /** Bytes of requests: a call that would exceed it is refused with UNAVAILABLE. */
  readonly maxBytes: number;
}

export const GATE_LIMITS: GateLimits = { maxCalls: 1_000, maxBytes: 256 * 1024 * 1024 };

/** A call is told so long before its deadline why it waited in vain. */
const MARGIN_MS = 10;
/** They ask how a model is, and are answered without it. */
const LOOKS: ReadonlySet<string> = new Set([
  '/inference.GRPCInferenceService/ModelReady',
  '/inference.GRPCInferenceService/ModelStatistics',
  '/tensorflow.serving.ModelService/GetModelStatus',
]);

/** What of a call the gate needs to let it wait. */
export interface Visitor {
  readonly deadlineMs: number;
  readonly sizeBytes: number;
  pass(): void;
  refuse(error: StatusError): void;
}

interface Waiting {
  readonly model: string;
  readonly version: number | undefined;
  readonly cancelTimer: () => void;
}

type Demanded = Pick<Copies, 'called' | 'hasOnDemand' | 'stateOf'>;

export class DemandGate implements Backend, Passing {
  readonly #inner: Backend;
  readonly #copies: Demanded;
  readonly #clock: Clock;
  readonly #limits: GateLimits;
  /** In the order of coming. */
  readonly #waiting = new Map<Visitor, Waiting>();
  #bytes = 0;

  constructor(inner: Backend, copies: Demanded, clock: Clock, limits: GateLimits = GATE_LIMITS) {
    this.#inner = inner;
    this.#copies = copies;
    this.#clock = clock;
    this.#limits = limits;
  }

  get methods(): ReadonlyMap<string, MethodKind> {
    return this.#inner.methods;
  }

  /** Calls that wait now. */
  get calls(): number {
    return this.#waiting.size;
  }

  unary(call: UnaryCall): void {
    if (!this.#copies.hasOnDemand || LOOKS.has(call.path)) {
      this.#inner.unary(call);
      return;
    }
    const visitor: Visitor = {
      deadlineMs: call.deadlineMs,
      sizeBytes: call.request.byteLength,
      pass: () => {
        call.onCancel = undefined;
        this.#inner.unary(call);
      },
      refuse: (error) => {
        call.onCancel = undefined;
        call.fail(error);
      },
    };
    if (this.enter(visitor, call.path, call.request)) call.onCancel = () => this.leave(visitor);
  }

  stream(call: StreamCall): void {
    this.#inner.stream(this.#copies.hasOnDemand ? new DemandStream(call, this) : call);
  }

  /** True: it waits. False: it has passed, or was refused. */
  enter(visitor: Visitor, path: string, message: Uint8Array): boolean {
    const named = namedIn(path, message);
    const state = named === undefined ? 'unknown' : this.#copies.called(named.model, named.version);
    if (named !== undefined && state === 'coming') return this.#wait(visitor, named);
    if (typeof state === 'string') visitor.pass();
    else visitor.refuse(notLoaded(named?.model ?? '', state.reason));
    return false;
  }

  /** It waits no more, and is not told so. */
  leave(visitor: Visitor): void {
    const waiting = this.#waiting.get(visitor);
    if (waiting === undefined) return;
    waiting.cancelTimer();
    this.#waiting.delete(visitor);
    this.#bytes -= visitor.sizeBytes;
  }

  /** Copies changed: those whose model came, or will not come, wait no more. */
  changed(): void {
    for (const [visitor, { model, version }] of [...this.#waiting]) {
      // It was let go meanwhile, or unloaded before its calls came to pass: called once more.
      const state = this.#copies.called(model, version);
      if (state === 'coming' || !this.#waiting.has(visitor)) continue;
      this.leave(visitor);
      if (typeof state === 'string') visitor.pass();
      else visitor.refuse(notLoaded(model, state.reason));
    }
  }

  stop(error: StatusError): void {
    for (const visitor of [...this.#waiting.keys()]) {
      this.leave(visitor);
      visitor.refuse(error);
    }
  }

  #wait(visitor: Visitor, { model, version }: Named): boolean {
    const { maxCalls, maxBytes } = this.#limits;
    if (this.#waiting.size >= maxCalls || this.#bytes + visitor.sizeBytes > maxBytes) {
      visitor.refuse(
        unavailable(
          `model '${model}' is being loaded, and too many calls wait already: ` +
            `${this.#waiting.size} of ${maxCalls} calls, ${this.#bytes} of ${maxBytes} bytes`,
        ),
      );
      return false;
    }
    const waitMs = visitor.deadlineMs - MARGIN_MS - this.#clock.nowMs();
    const cancelTimer = Number.isFinite(waitMs)
      ? this.#clock.after(Math.max(0, waitMs), () => {
          this.leave(visitor);
          visitor.refuse(late(model));
        })
      : () => {};
    this.#waiting.set(visitor, { model, version, cancelTimer });
    this.#bytes += visitor.sizeBytes;
    return true;
  }
}

interface Named {
  readonly model: string;
  readonly version: number | undefined;
}

/** What can't be read is for the service to refuse. */
function namedIn(path: string, message: Uint8Array): Named | undefined {
  try {
    const named: ModelCall | undefined = scanModelCall(path, message);
    if (named === undefined) return undefined;
    return { model: named.model ?? '', version: parseVersion(named.version ?? '') };
  } catch {
    return undefined;
  }
}

function late(model: string): StatusError {
  const message = `model '${model}' is loaded on demand, and was not ready before the deadline`;
  return new StatusError(Code.DEADLINE_EXCEEDED, message);
}

function notLoaded(model: string, reason: string): StatusError {
  return unavailable(`model '${model}' is loaded on demand, which failed: ${reason}`);
}
