import test from 'ava';
import { Code } from '../../common/status.ts';
import { checkAdminListen } from './admin-listen.ts';
import { bearerTokens } from './bearer-tokens.ts';

const files = { certFile: 'cert.pem', keyFile: 'key.pem' };

test('off loopback, who changes the cluster has to be known', (t) => {
  const open = { tls: undefined, tokens: undefined };
  for (const host of ['127.0.0.1', '::1', 'localhost']) {
    t.notThrows(() => checkAdminListen({ host, ...open }));
  }
  const host = '0.0.0.0';
  for (const tls of [undefined, files]) {
    const error = t.throws(() => checkAdminListen({ host, tls, tokens: undefined }));
    t.like(error, { code: Code.FAILED_PRECONDITION }, 'encrypted is not known');
    t.regex(error?.message ?? '', /--admin-token-file.*--tls-client-ca/);
  }
  const clients = { ...files, clientCaFile: 'ca.pem' };
  t.notThrows(() => checkAdminListen({ host, tls: clients, tokens: undefined }));
  const tokens = bearerTokens('0123456789abcdef');
  t.notThrows(() => checkAdminListen({ host, tls: undefined, tokens }));
});
