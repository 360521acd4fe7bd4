// grpc.testing.TestService as gRPC's interoperability tests describe it, for outside clients to
// judge the transport by; and the load reports (ORCA) that two of the cases ask for.
import { type Code, codeOf, invalidArgument, StatusError, statusOf } from '../../common/status.ts';
import type {
  Backend,
  CallContext,
  Metadata,
  StreamCall,
  UnaryCall,
} from '../../transport/backend.ts';
import {
  type OrcaReport,
  type OrcaRequest,
  type SimpleRequest,
  type StreamingInputRequest,
  type StreamingOutputRequest,
  type TestMethod,
  testMethod,
} from './testing-messages.ts';

const SERVICE = 'grpc.testing.TestService';
const EMPTY = testMethod(SERVICE, 'EmptyCall');
const UNARY = testMethod(SERVICE, 'UnaryCall');
const OUTPUT = testMethod(SERVICE, 'StreamingOutputCall');
const INPUT = testMethod(SERVICE, 'StreamingInputCall');
const FULL_DUPLEX = testMethod(SERVICE, 'FullDuplexCall');
const HALF_DUPLEX = testMethod(SERVICE, 'HalfDuplexCall');
const ORCA = testMethod('xds.service.orca.v3.OpenRcaService', 'StreamCoreMetrics');
const METHODS = [EMPTY, UNARY, OUTPUT, INPUT, FULL_DUPLEX, HALF_DUPLEX, ORCA];

/** What callers of custom_metadata want back: the first in the headers, the second behind them. */
const ECHO_INITIAL = 'x-grpc-test-echo-initial';
const ECHO_TRAILING = 'x-grpc-test-echo-trailing-bin';
const ORCA_TRAILER = 'endpoint-load-metrics-bin';
const SERVER_ID = 'torus';
/** Reports are not asked for more often. */
const LEAST_REPORT_MS = 100;
const MOST_RESPONSE_BYTES = 64 * 1024 * 1024;

function echoed(call: CallContext, key: string): Metadata {
  return call.metadata.filter(([name]) => name === key);
}

function insistCompressed(call: CallContext, wanted: boolean): void {
  if (!wanted || call.compression?.isRequestCompressed === true) return;
  throw invalidArgument('the request should be compressed, and is not');
}

function failure(status: { readonly code: number; readonly message: string } | null) {
  const code: Code = codeOf(status?.code ?? 0);
  return code === 0 ? undefined : new StatusError(code, status?.message ?? '');
}

function zeros(sizeBytes: number): { readonly body: Uint8Array } {
  if (sizeBytes >= 0 && sizeBytes <= MOST_RESPONSE_BYTES) return { body: Buffer.alloc(sizeBytes) };
  throw invalidArgument(`a response has 0 to ${MOST_RESPONSE_BYTES} bytes, not ${sizeBytes}`);
}

function loadReport(report: OrcaReport): Uint8Array {
  const { memoryUtilization, ...rest } = report;
  return ORCA.encodeResponse({ ...rest, memUtilization: memoryUtilization });
}

/** The requests of a stream one after the other, each worked on to its end. */
async function* messagesOf(call: StreamCall): AsyncGenerator<Uint8Array> {
  const waiting: Uint8Array[] = [];
  let isEnded = false;
  let wake = (): void => {};
  call.onMessage = (message) => {
    waiting.push(message);
    call.pause();
    wake();
  };
  call.onHalfClose = () => {
    isEnded = true;
    wake();
  };
  for (;;) {
    const message = waiting.shift();
    if (message !== undefined) yield message;
    else if (isEnded) return;
    else {
      call.resume();
      if (waiting.length > 0 || isEnded) continue;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
}

export class InteropService implements Backend {
  readonly methods = new Map(METHODS.map(({ path, kind }) => [path, kind]));
  #report: OrcaReport = {
    cpuUtilization: 0,
    memoryUtilization: 0,
    requestCost: {},
    utilization: {},
  };

  unary(call: UnaryCall): void {
    try {
      if (call.path === EMPTY.path) call.succeed(EMPTY.encodeResponse({}));
      else this.#unaryCall(call, UNARY.decodeRequest(call.request) as SimpleRequest);
    } catch (thrown) {
      call.fail(statusOf(thrown));
    }
  }

  stream(call: StreamCall): void {
    call.onCancel = () => {};
    this.#run(call).catch((thrown) => call.fail(statusOf(thrown)));
  }

  #unaryCall(call: UnaryCall, request: SimpleRequest): void {
    insistCompressed(call, request.expectCompressed?.value === true);
    if (call.compression !== undefined && request.responseCompressed !== null) {
      call.compression.isAnswerCompressed = request.responseCompressed.value;
    }
    call.answerMetadata = echoed(call, ECHO_INITIAL);
    const trailers = [...echoed(call, ECHO_TRAILING)];
    const report = request.orcaPerQueryReport;
    if (report !== null) trailers.push([ORCA_TRAILER, loadReport(report)]);
    const error = failure(request.responseStatus);
    if (error !== undefined) {
      call.fail(error, trailers);
      return;
    }
    const serverId = request.fillServerId ? { serverId: SERVER_ID } : {};
    const response = { payload: zeros(request.responseSize), ...serverId };
    call.succeed(UNARY.encodeResponse(response), trailers);
  }

  async #run(call: StreamCall): Promise<void> {
    call.answerMetadata = echoed(call, ECHO_INITIAL);
    const trailers = echoed(call, ECHO_TRAILING);
    switch (call.path) {
      case INPUT.path:
        call.send(INPUT.encodeResponse({ aggregatedPayloadSize: await this.#sum(call) }));
        break;
      case ORCA.path:
        await this.#reports(call);
        return;
      case HALF_DUPLEX.path: {
        const requests: Uint8Array[] = [];
        for await (const bytes of messagesOf(call)) requests.push(bytes);
        for (const bytes of requests) await this.#answer(call, HALF_DUPLEX, bytes);
        break;
      }
      default: {
        const method = call.path === OUTPUT.path ? OUTPUT : FULL_DUPLEX;
        for await (const bytes of messagesOf(call)) await this.#answer(call, method, bytes);
      }
    }
    call.end(trailers);
  }

  async #sum(call: StreamCall): Promise<number> {
    let sum = 0;
    for await (const bytes of messagesOf(call)) {
      const request = INPUT.decodeRequest(bytes) as StreamingInputRequest;
      insistCompressed(call, request.expectCompressed?.value === true);
      sum += request.payload?.body.length ?? 0;
    }
    return sum;
  }

  async #answer(call: StreamCall, method: TestMethod, bytes: Uint8Array): Promise<void> {
    const request = method.decodeRequest(bytes) as StreamingOutputRequest;
    if (request.orcaOobReport !== null) this.#report = request.orcaOobReport;
    const error = failure(request.responseStatus);
    if (error !== undefined) throw error;
    for (const { size, intervalUs, compressed } of request.responseParameters) {
      if (intervalUs > 0) await sleep(intervalUs / 1000);
      if (call.compression !== undefined && compressed !== null) {
        call.compression.isAnswerCompressed = compressed.value;
      }
      await sent(call, method.encodeResponse({ payload: zeros(size) }));
      if (call.isCancelled) return;
    }
  }

  /** The load as it was last told, at the caller's interval, until the caller goes. */
  async #reports(call: StreamCall): Promise<void> {
    for await (const bytes of messagesOf(call)) {
      const { reportInterval } = ORCA.decodeRequest(bytes) as OrcaRequest;
      const { seconds = 0, nanos = 0 } = reportInterval ?? {};
      while (!call.isCancelled) {
        await sent(call, loadReport(this.#report));
        await sleep(Math.max(LEAST_REPORT_MS, seconds * 1000 + nanos / 1e6));
      }
      return;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

/** Resolves when there is room for more, or nobody to take it. */
function sent(call: StreamCall, message: Uint8Array): Promise<void> | undefined {
  if (call.send(message) || call.isCancelled) return undefined;
  return new Promise((resolve) => {
    call.onDrain = resolve;
    call.onCancel = resolve;
  });
}
