import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import test from 'ava';
import '../../../test/support/poison-reads.ts';
import { skip } from '../../../test/support/skip.ts';
import type { ServerPem } from '../../tls/tls-files.ts';
import { EchoHandler } from '../connection/echo-handler.ts';
import { connectionOptions } from '../connection/options.ts';
import type { AcceptedReads } from './accepted-reads.ts';
import { type ConnectionListener, listenConnections } from './connection-listener.ts';

/** Without own reads: as on a Node that does not let accepted sockets have them. */
function listen(given?: ServerPem, reads?: AcceptedReads): Promise<ConnectionListener> {
  return listenConnections({
    host: '127.0.0.1',
    port: 0,
    portFlag: undefined,
    connection: connectionOptions(true),
    nowMs: () => performance.now(),
    makeHandler: () => new EchoHandler(),
    ...(given && { tls: given }),
    ...(reads && { reads }),
  });
}

async function echo(session: http2.ClientHttp2Session, text: string): Promise<string> {
  const stream = session.request({ ':method': 'POST', ':path': '/' });
  stream.end(text);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(stream, 'end');
  return Buffer.concat(chunks).toString();
}

const NODES_WAY: AcceptedReads = { problem: 'not tried', adopt: () => false };

for (const [way, reads] of [
  ['own reads', undefined],
  ["Node's reads", NODES_WAY],
] as const) {
  test(`drain takes no more connections, and waits for the open streams (${way})`, async (t) => {
    const listener = await listen(undefined, reads);
    const session = http2.connect(`http://127.0.0.1:${listener.port}`);
    t.is(await echo(session, 'before'), 'before');
    t.is(listener.size, 1);
    const last = session.request({ ':method': 'POST', ':path': '/' });
    last.write('first half, ');
    await once(last, 'response');
    let isDrained = false;
    const drained = listener.drain().then(() => {
      isDrained = true;
    });
    const chunks: Buffer[] = [];
    last.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(session, 'goaway');
    t.false(isDrained);
    last.end('second half');
    await once(last, 'end');
    await drained;
    t.is(Buffer.concat(chunks).toString(), 'first half, second half');
    t.is(listener.size, 0);
  });

  test(`idle connections end at once when drained, all when cut (${way})`, async (t) => {
    const listener = await listen(undefined, reads);
    const sessions = [1, 2, 3].map(() => http2.connect(`http://127.0.0.1:${listener.port}`));
    for (const session of sessions) t.is(await echo(session, 'a'), 'a');
    await listener.drain();
    const other = await listen(undefined, reads);
    const session = http2.connect(`http://127.0.0.1:${other.port}`);
    session.on('error', () => {});
    t.is(await echo(session, 'b'), 'b');
    const closed = once(session, 'close');
    other.cut();
    await closed;
    t.is(other.size, 0);
  });
}

/** A key and a certificate that signs itself; undefined: no openssl here. */
function certificateOf(name: string): { cert: string; key: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'torus-h2-tls-'));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const files = ['-keyout', keyFile, '-out', certFile];
  try {
    const args = ['req', ...kind, '-days', '2', ...subject, ...files];
    execFileSync('openssl', args, { stdio: 'ignore' });
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('TLS: h2 by ALPN, certificates by name, new ones without losing a connection', async (t) => {
  const [one, two] = [certificateOf('one'), certificateOf('two')];
  if (one === undefined || two === undefined) return skip(t, 'no openssl');
  const listener = await listen(one);
  const connect = (name: string, ca: string) =>
    http2.connect(`https://127.0.0.1:${listener.port}`, { ca, servername: name });
  const before = connect('one', one.cert);
  t.is(await echo(before, 'over tls '.repeat(10_000)), 'over tls '.repeat(10_000));
  listener.setTls(two);
  const after = connect('two', two.cert);
  t.is(await echo(after, 'new'), 'new');
  t.is(await echo(before, 'still'), 'still');
  const stranger = connect('one', one.cert);
  t.truthy((await once(stranger, 'error'))[0]);
  await listener.drain();
});

test('TLS: no h2, no connection; no certificate of a client, no connection', async (t) => {
  const [ours, clients] = [certificateOf('one'), certificateOf('client')];
  if (ours === undefined || clients === undefined) return skip(t, 'no openssl');
  const listener = await listen({ ...ours, clientCa: clients.cert });
  const base = { port: listener.port, host: '127.0.0.1', ca: ours.cert, servername: 'one' };
  for (const refused of [{ ...clients, ALPNProtocols: ['http/1.1'] }, clients, {}]) {
    const socket = tls.connect({ ...base, ...refused });
    socket.on('error', () => {});
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }
  t.is(listener.size, 0);
  const session = http2.connect(`https://127.0.0.1:${listener.port}`, { ...base, ...clients });
  t.is(await echo(session, 'known'), 'known');
  await listener.drain();
});
