import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { Code } from '../../common/status.ts';
import { makeCertificate } from '../../test/support/certificate.ts';
import { skip } from '../../test/support/skip.ts';
import { LOOK_MS, readServerTls, type ServerPem, watchServerTls } from './tls-files.ts';

function files(t: ExecutionContext) {
  const folder = mkdtempSync(join(tmpdir(), 'torus-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  if (!makeCertificate(folder)) return undefined;
  return { folder, tls: { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') } };
}

test('renewed files are served from the next look on; half of them are waited with', (t) => {
  const made = files(t);
  if (made === undefined) return skip(t, 'no openssl on this machine');
  const { folder, tls } = made;
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const log = createLog({ role: 'test', level: 'warn', destination });
  const clock = new VirtualClock();
  const used: ServerPem[] = [];
  const served = readServerTls(tls);
  const watch = watchServerTls({ tls, served, clock, log, use: (pem) => void used.push(pem) });
  clock.advance(LOOK_MS * 3);
  t.is(used.length, 0, 'nothing has changed');

  const oldKey = readFileSync(tls.keyFile, 'utf8');
  makeCertificate(folder);
  const newKey = readFileSync(tls.keyFile, 'utf8');
  writeFileSync(tls.keyFile, oldKey);
  clock.advance(LOOK_MS * 3);
  t.deepEqual([used.length, lines.length], [0, 1], 'they do not go together; told once');
  t.false(lines.join().includes('PRIVATE'));
  writeFileSync(tls.keyFile, newKey);
  clock.advance(LOOK_MS);
  t.is(used.length, 1);
  t.is(used[0]?.cert, readFileSync(tls.certFile, 'utf8'));

  watch.stop();
  makeCertificate(folder);
  clock.advance(LOOK_MS * 3);
  t.is(used.length, 1);
});

test('files that are not there, or no certificate, say which', (t) => {
  const made = files(t);
  if (made === undefined) return skip(t, 'no openssl on this machine');
  const { tls } = made;
  const clientCaFile = tls.keyFile.replace('key.pem', 'none.pem');
  const gone = t.throws(() => readServerTls({ ...tls, clientCaFile }));
  t.like(gone, { code: Code.FAILED_PRECONDITION });
  t.regex(gone?.message ?? '', /client CA certificate .*none\.pem/);
  writeFileSync(tls.certFile, 'no certificate');
  const bad = t.throws(() => readServerTls(tls));
  t.like(bad, { code: Code.FAILED_PRECONDITION });
  t.regex(bad?.message ?? '', /cert\.pem.*do not go together/);
});
