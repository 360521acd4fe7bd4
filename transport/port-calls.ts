// Calls between threads of one process: a port serves named async functions, the other side calls
// them. Errors cross with their code; what is sent must survive a structured clone.
import type { MessagePort, Worker } from 'node:worker_threads';
import { Code, codeOf, StatusError, statusOf, unavailable } from '../common/status.ts';

/** Calls in flight on one port; more are UNAVAILABLE: the other thread hangs. */
export const MAX_PORT_CALLS = 10_000;

export type PortFunctions = Readonly<Record<string, (...args: never[]) => Promise<unknown>>>;

interface PortRequest {
  readonly portCall: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

interface PortReply {
  readonly portReply: number;
  readonly result?: unknown;
  readonly error?: { readonly code: Code; readonly message: string };
}

type Port = MessagePort | Worker;

const isRequest = (message: unknown): message is PortRequest =>
  typeof message === 'object' && message !== null && 'portCall' in message;
const isReply = (message: unknown): message is PortReply =>
  typeof message === 'object' && message !== null && 'portReply' in message;

/**
 * Answers calls that come over the port, begun in the order in which they come; other messages
 * are left to others. The port keeps its thread alive: unref it where it is not to.
 */
export function servePort(port: Port, functions: PortFunctions): void {
  port.on('message', (message: unknown) => {
    if (!isRequest(message)) return;
    void answer(functions, message).then((reply) => {
      try {
        port.postMessage(reply);
      } catch (thrown) {
        port.postMessage(failure(message.portCall, thrown));
      }
    });
  });
}

async function answer(functions: PortFunctions, request: PortRequest): Promise<PortReply> {
  const portReply = request.portCall;
  try {
    const found = Object.hasOwn(functions, request.method) ? functions[request.method] : undefined;
    if (found === undefined) {
      throw new StatusError(Code.UNIMPLEMENTED, `this thread has no '${request.method}'`);
    }
    const call = found as (...args: readonly unknown[]) => Promise<unknown>;
    return { portReply, result: await call(...request.args) };
  } catch (thrown) {
    return failure(portReply, thrown);
  }
}

function failure(portReply: number, thrown: unknown): PortReply {
  const { code, message } = statusOf(thrown);
  return { portReply, error: { code, message } };
}

export interface PortCaller {
  /** @throws what the function threw; UNAVAILABLE when the other thread is gone. */
  call(method: string, ...args: readonly unknown[]): Promise<unknown>;
}

export interface CallOptions {
  /** The port keeps its thread alive only while a call waits. Default: as long as it is open. */
  readonly isBackground?: boolean;
}

export function callOverPort(port: Port, { isBackground = false }: CallOptions = {}): PortCaller {
  const pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let nextId = 1;
  let isGone = false;
  const rest = (): void => {
    if (isBackground && pending.size === 0) port.unref();
  };
  port.on('message', (message: unknown) => {
    if (!isReply(message)) return;
    const waiting = pending.get(message.portReply);
    pending.delete(message.portReply);
    rest();
    const { error } = message;
    if (error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new StatusError(codeOf(error.code), error.message));
  });
  const gone = (): void => {
    isGone = true;
    for (const waiting of pending.values()) waiting.reject(unavailable('the thread has ended'));
    pending.clear();
  };
  // A port closes; a worker exits.
  (port as MessagePort).on('close', gone);
  (port as Worker).on('exit', gone);
  rest();
  return {
    call: (method, ...args) =>
      new Promise((resolve, reject) => {
        if (isGone) return reject(unavailable('the thread has ended'));
        if (pending.size >= MAX_PORT_CALLS) {
          return reject(unavailable(`${MAX_PORT_CALLS} calls are waiting for the other thread`));
        }
        const id = nextId++;
        port.postMessage({ portCall: id, method, args } satisfies PortRequest);
        pending.set(id, { resolve, reject });
        if (isBackground && pending.size === 1) port.ref();
      }),
  };
}
