// What only this listener has: a port that several threads share, certificates that are renewed.
import '../../test/support/poison-reads.ts';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { Code, StatusError } from '../../common/status.ts';
import { makeCertificate } from '../../test/support/certificate.ts';
import { skip } from '../../test/support/skip.ts';
import { Callee, CHAT, ECHO } from '../callee.contract.ts';
import { connectGrpc } from '../client/client.ts';
import { DEFAULT_LIMITS } from '../http2/connection/limits.ts';
import { invokeStream, invokeUnary } from '../invoke.ts';
import { serveGrpc } from './serve-grpc.ts';

const log = createLog({ role: 'test', level: 'silent' });
const callee = new Callee();
const { methods } = callee;

test('two listeners share a port when both say so', async (t) => {
  const options = { backend: callee, host: '127.0.0.1', log };
  const first = await serveGrpc({ ...options, port: 0, isPortShared: true });
  const { port, address } = first;
  const taken = await t.throwsAsync(serveGrpc({ ...options, port }), { instanceOf: StatusError });
  t.is(taken?.code, Code.ALREADY_EXISTS);
  const second = await serveGrpc({ ...options, port, isPortShared: true });
  first.stop();
  const client = connectGrpc({ address, methods });
  t.is((await invokeUnary(client, ECHO, Uint8Array.of(1))).response.length, 1);
  t.is(second.held.connections, 1);
  client.close();
  second.stop();
});

test('TLS: files that were renewed are for new connections, open ones stay', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-tls-'));
  try {
    if (!makeCertificate(folder)) return skip(t, 'no openssl');
    const caFile = join(folder, 'cert.pem');
    const tls = { certFile: caFile, keyFile: join(folder, 'key.pem') };
    const server = await serveGrpc({ backend: callee, host: '127.0.0.1', port: 0, log, tls });
    const dial = () => {
      const { address } = server;
      return connectGrpc({ address, methods, tls: { caFile, serverName: 'localhost' } });
    };
    const early = dial();
    const gate = Promise.withResolvers<void>();
    const requests = async function* () {
      yield Uint8Array.of(1);
      await gate.promise;
      yield Uint8Array.of(2);
    };
    const answers = invokeStream(early, CHAT, requests());
    t.deepEqual([...((await answers.next()).value ?? [])], [1]);
    makeCertificate(folder);
    const before = dial();
    const refused = invokeUnary(before, ECHO, Uint8Array.of(1), { timeoutMs: 5_000 });
    await t.throwsAsync(refused, { instanceOf: StatusError });
    server.reloadTls();
    const after = dial();
    t.is((await invokeUnary(after, ECHO, Uint8Array.of(1))).response.length, 1);
    gate.resolve();
    t.deepEqual([...((await answers.next()).value ?? [])], [2]);
    rmSync(tls.keyFile);
    t.throws(() => server.reloadTls(), { message: /cannot read the TLS key/ });
    for (const client of [early, before, after]) client.close();
    server.stop();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('TLS: who begins no handshake is cut off in time, and counted', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'torus-tls-'));
  try {
    if (!makeCertificate(folder)) return skip(t, 'no openssl');
    const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    const crossed: string[] = [];
    const server = await serveGrpc({
      ...{ backend: callee, host: '127.0.0.1', port: 0, log, tls },
      connection: { limits: { ...DEFAULT_LIMITS, handshakeMs: 50 } },
      onLimit: (name) => crossed.push(name),
    });
    const silent = connectTcp(server.port, '127.0.0.1').resume();
    await once(silent, 'close');
    t.deepEqual(crossed, ['handshake_time']);
    server.stop();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
