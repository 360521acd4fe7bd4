// The roles as processes of their own that speak TLS with each other, show certificates, and let
// only those change the cluster who bring the token.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { bodyText, type HttpPeer, httpCall } from '../../stores/blobs/http-call.ts';
import { makeCertificate } from '../support/certificate.ts';
import { hasPostgres } from '../support/postgres-server.ts';
import { NO_REDIS, redisProgram } from '../support/redis-server.ts';
import {
  callers,
  publish,
  roleCluster,
  type Security,
  untilHeldBy,
} from '../support/role-cluster.ts';
import { skip } from '../support/skip.ts';
import { dataFolder, torus } from '../support/torus-process.ts';

const TOKEN = '0123456789abcdef0123456789abcdef';

/** Everybody shows the one certificate, and trusts it alone. */
function securityOf(folder: string): Security {
  const [cert, key, token] = ['cert.pem', 'key.pem', 'token'].map((name) => join(folder, name));
  if (cert === undefined || key === undefined || token === undefined) throw new Error('no names');
  writeFileSync(token, `${TOKEN}\n`);
  const listener = ['--tls-cert', cert, '--tls-key', key];
  const client = ['--client-cert', cert, '--client-key', key, '--control-ca', cert];
  const tokens = ['--admin-token-file', token];
  const flags: Readonly<Record<string, readonly string[]>> = {
    control: [...listener, ...tokens],
    node: [...listener, '--tls-client-ca', cert, ...client, ...tokens],
    router: [...listener, ...client, '--node-ca', cert, ...tokens],
    gateway: [...listener, ...client, '--router-ca', cert, ...tokens],
  };
  return {
    flags: (role) => flags[role] ?? [...listener, ...client, ...tokens],
    peer: { tls: { caFile: cert }, bearerToken: TOKEN },
  };
}

async function ask(url: string, peer: HttpPeer): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(30_000);
  const answer = await httpCall(url, { method: 'GET', signal }, peer);
  return { status: answer.statusCode ?? 0, text: await bodyText(answer, signal) };
}

test('roles over TLS: who has no token, or knows no certificate, changes nothing', async (t) => {
  if (redisProgram() === undefined) return skip(t, NO_REDIS);
  if (!hasPostgres) return skip(t, 'no PostgreSQL: run scripts/ci-setup');
  const folder = await dataFolder(t);
  mkdirSync(folder, { recursive: true });
  if (!makeCertificate(folder)) return skip(t, 'no openssl on this machine');
  const security = securityOf(folder);
  const { tls } = security.peer;
  const all = await roleCluster(t, security);
  const a = await all.startNode('a');
  await publish(all, 1);
  await untilHeldBy(all, 'a');
  const calling = callers(t, all.router, security);
  await calling.goesOn();
  await calling.end();

  const models = `https://${all.gateway.at.http}/api/v1/models`;
  t.is((await ask(models, security.peer)).status, 200);
  t.is((await ask(models, { tls })).status, 401);
  t.is((await ask(models, { tls, bearerToken: TOKEN.replace('0', '1') })).status, 401);
  await t.throwsAsync(ask(models, { bearerToken: TOKEN }), undefined, 'nobody signed it');
  await t.throwsAsync(ask(models.replace('https', 'http'), security.peer), undefined, 'plain text');

  const metrics = await ask(`https://${a.at.metrics}/metrics`, { tls });
  t.regex(metrics.text, /^torus_tls_certificate_expiry_timestamp_seconds [1-9]/m);
  const asked = ['status', '--server', `https://${all.gateway.at.http}`];
  const stranger = await torus(asked);
  t.regex(stranger.stderr, /--server-ca/);
  const ca = ['--server-ca', join(folder, 'cert.pem')];
  t.regex((await torus([...asked, ...ca])).stderr, /--admin-token-file/);
  const known = await torus([...asked, ...ca, '--admin-token-file', join(folder, 'token')]);
  t.is(known.code, 0, known.stderr);
  for (const role of [all.router, all.control, all.gateway, a]) {
    t.false((role.stdout() + role.stderr()).includes(TOKEN));
  }
});
