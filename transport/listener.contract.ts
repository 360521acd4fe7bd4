// What every gRPC listener promises beside carrying calls: limits, deadlines, refusals, TLS, drain.
// Told by grpc-js's own clients, which know nothing of this code.
import '../test/support/poison-reads.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { TestFn } from 'ava';
import { Code, StatusError } from '../common/status.ts';
import { makeCertificate } from '../test/support/certificate.ts';
import { skip } from '../test/support/skip.ts';
import type { Backend } from './backend.ts';
import { ConnectionLost } from './backend.ts';
import { Callee, CHAT, ECHO, FAIL, HANG } from './callee.contract.ts';
import type { GrpcListener, ServeOptions } from './grpc-listener.ts';
import { connect } from './grpcjs/client.ts';
import { invokeStream, invokeUnary } from './invoke.ts';

const NOTHING = new Uint8Array();

/** On 127.0.0.1 and a free port, unless told. */
export type Serve = (backend: Backend, more?: Partial<ServeOptions>) => Promise<GrpcListener>;

/** Adds the whole suite for one kind of listener. */
export function listenerContract(test: TestFn, name: string, serve: Serve): void {
  limitTests(test, name, serve);
  textTests(test, name, serve);
  bindTests(test, name, serve);
  lossTests(test, name, serve);
  drainTests(test, name, serve);
  tlsTests(test, name, serve);
}

async function codeOf(promise: Promise<unknown>): Promise<StatusError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof StatusError) return thrown;
  }
  throw new Error('no StatusError');
}

/** A plain grpc-js client, which knows nothing of this code. */
function plainCall(client: Client, path: string, request: Buffer, metadata = new Metadata()) {
  const { promise, resolve } = Promise.withResolvers<ServiceError | Buffer>();
  const same = (bytes: Buffer): Buffer => bytes;
  client.makeUnaryRequest(path, same, same, request, metadata, {}, (error, answer) =>
    resolve(error ?? answer ?? Buffer.alloc(0)),
  );
  return promise;
}

function limitTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: a unary call without a deadline gets the default one`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee, { defaultDeadlineMs: 60 });
    const client = new Client(server.address, credentials.createInsecure());
    const before = performance.now();
    const answer = plainCall(client, HANG, Buffer.alloc(0));
    const call = await callee.hanging.happened;
    t.true(call.deadlineMs >= before && call.deadlineMs <= performance.now() + 61);
    const error = (await answer) as ServiceError;
    t.is(error.code, Code.DEADLINE_EXCEEDED);
    t.regex(error.details, /60 ms/);
    await callee.cancelled.happened;
    t.true(call.isCancelled);
    client.close();
    server.stop();
  });

  test(`${name}: a message above the limit is refused with the limit, both ways`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee, { maxMessageBytes: 1000 });
    const client = new Client(server.address, credentials.createInsecure());
    const fits = await plainCall(client, ECHO, Buffer.alloc(1000));
    t.true(Buffer.isBuffer(fits) && fits.length === 1000);
    const error = (await plainCall(client, ECHO, Buffer.alloc(1001))) as ServiceError;
    t.is(error.code, Code.RESOURCE_EXHAUSTED);
    t.regex(error.details, /1001.*1000/);
    client.close();
    server.stop();

    const wordy: Backend = {
      methods: new Map([[ECHO, 'unary']]),
      unary: (call) => call.succeed(new Uint8Array(1001)),
      stream: () => {},
    };
    const second = await serve(wordy, { maxMessageBytes: 1000 });
    const caller = connect({ address: second.address, methods: wordy.methods });
    const tooLong = await codeOf(invokeUnary(caller, ECHO, NOTHING));
    t.is(tooLong.code, Code.RESOURCE_EXHAUSTED);
    t.regex(tooLong.message, /1001 bytes is larger than the limit of 1000 bytes/);
    caller.close();
    second.stop();
  });
}

function textTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: a status text that no header can hold is cut, not dropped`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee);
    const caller = connect({ address: server.address, methods: callee.methods });
    const text = '\ud800 and much more: '.repeat(5000);
    const error = await codeOf(invokeUnary(caller, FAIL, new TextEncoder().encode(text)));
    t.is(error.code, Code.ABORTED);
    t.true(error.message.endsWith('...'));
    caller.close();
    server.stop();
  });

  test(`${name}: trailers that are not allowed are told as INTERNAL, naming them`, async (t) => {
    const wrong: Backend = {
      methods: new Map([[ECHO, 'unary']]),
      unary: (call) => call.fail(new StatusError(Code.ABORTED, 'x'), [['x-text', 'line\nbreak']]),
      stream: () => {},
    };
    const server = await serve(wrong);
    const caller = connect({ address: server.address, methods: wrong.methods });
    const error = await codeOf(invokeUnary(caller, ECHO, NOTHING));
    t.is(error.code, Code.INTERNAL);
    t.regex(error.message, /metadata that is not allowed/);
    caller.close();
    server.stop();
  });
}

function bindTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: a port in use, plain text off loopback: refused with the way out`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee);
    const taken = await codeOf(serve(callee, { port: server.port, portFlag: '--grpc-port' }));
    t.is(taken.code, Code.ALREADY_EXISTS);
    t.regex(taken.message, new RegExp(`port ${server.port} .*in use.*--grpc-port`));
    const open = await codeOf(serve(callee, { host: '0.0.0.0' }));
    t.is(open.code, Code.FAILED_PRECONDITION);
    const insecure = await serve(callee, { host: '0.0.0.0', isInsecure: true });
    t.true(insecure.port > 0);
    insecure.stop();
    server.stop();
  });
}

function lossTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: a lost or absent server is ConnectionLost, and comes back`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee);
    const caller = connect({ address: server.address, methods: callee.methods });
    t.is((await invokeUnary(caller, ECHO, Uint8Array.of(1))).response.length, 1);
    t.is(caller.state(), 'ready');
    const lost = codeOf(invokeUnary(caller, HANG, NOTHING));
    await callee.hanging.happened;
    server.stop();
    const error = await lost;
    t.true(error instanceof ConnectionLost && error.mayHaveRun, String(error));
    const absent = await codeOf(invokeUnary(caller, ECHO, NOTHING, { timeoutMs: 5_000 }));
    t.true(absent instanceof ConnectionLost && !absent.mayHaveRun, String(absent));
    t.regex(absent.message, new RegExp(server.address));

    const again = await serve(callee, { port: server.port });
    for (;;) {
      try {
        await invokeUnary(caller, ECHO, NOTHING);
        break;
      } catch (thrown) {
        t.true(thrown instanceof ConnectionLost, String(thrown));
      }
    }
    caller.close();
    const closed = await codeOf(invokeUnary(caller, ECHO, NOTHING));
    t.true(closed instanceof ConnectionLost);
    again.stop();
  });
}

function drainTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: a drain lets calls end, takes no new ones, and cuts streams`, async (t) => {
    const callee = new Callee();
    const server = await serve(callee);
    const { address } = server;
    const caller = connect({ address, methods: callee.methods });
    const answer = invokeUnary(caller, HANG, NOTHING);
    const call = await callee.hanging.happened;
    const drained = server.drain(5_000);
    const late = connect({ address, methods: callee.methods });
    const refused = await codeOf(invokeUnary(late, ECHO, NOTHING));
    t.true(refused instanceof ConnectionLost);
    call.succeed(Uint8Array.of(9));
    t.deepEqual([...(await answer).response], [9]);
    await drained;
    late.close();
    caller.close();

    const second = await serve(callee);
    const talker = connect({ address: second.address, methods: callee.methods });
    const ended = Promise.withResolvers<void>();
    const requests = async function* () {
      yield Uint8Array.of(1);
      await ended.promise;
    };
    const answers = invokeStream(talker, CHAT, requests());
    t.false((await answers.next()).done);
    const cut = codeOf(answers.next());
    await second.drain(50);
    t.is((await cut).code, Code.UNAVAILABLE);
    ended.resolve();
    talker.close();
  });
}

function tlsTests(test: TestFn, name: string, serve: Serve): void {
  test(`${name}: TLS: a known certificate is accepted, a client without one is not`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'torus-tls-'));
    try {
      if (!makeCertificate(folder)) return skip(t, 'no openssl');
      const callee = new Callee();
      const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
      const server = await serve(callee, { tls: { certFile, keyFile, clientCaFile: certFile } });
      const base = { address: server.address, methods: callee.methods };
      const tls = { caFile: certFile, serverName: 'localhost' };
      const known = connect({ ...base, tls: { ...tls, certFile, keyFile } });
      t.is((await invokeUnary(known, ECHO, Uint8Array.of(1))).response.length, 1);
      for (const caller of [connect({ ...base, tls }), connect(base)]) {
        const error = await codeOf(invokeUnary(caller, ECHO, NOTHING, { timeoutMs: 10_000 }));
        t.is(error.code, Code.UNAVAILABLE);
        caller.close();
      }
      known.close();
      server.stop();
      const missing = await codeOf(serve(callee, { tls: { certFile: '/none.pem', keyFile } }));
      t.regex(missing.message, /cannot read the TLS certificate \/none\.pem/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
