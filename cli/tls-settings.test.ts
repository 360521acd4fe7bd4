import test from 'ava';
import { clientTlsOf, serverTlsOf, tlsClashes } from './tls-settings.ts';

test('a certificate goes with its key, and clients are asked for theirs over TLS only', (t) => {
  const tlsCert = 'cert.pem';
  const tlsKey = 'key.pem';
  t.deepEqual(tlsClashes({ tlsCert, tlsKey, tlsClientCa: 'ca.pem' }), []);
  t.deepEqual(tlsClashes({}), []);
  t.is(tlsClashes({ tlsCert }).length, 1);
  t.is(tlsClashes({ tlsKey }).length, 1);
  t.regex(tlsClashes({ tlsClientCa: 'ca.pem' }).join(), /needs --tls-cert/);
  t.regex(tlsClashes({ clientKey: 'key.pem' }).join(), /--client-cert and --client-key/);
});

test('a listener without a certificate, and a call without authorities, are plain text', (t) => {
  t.is(serverTlsOf({}), undefined);
  t.is(clientTlsOf(undefined, { clientCert: 'cert.pem', clientKey: 'key.pem' }), undefined);
  t.deepEqual(clientTlsOf('system', {}), {});
  t.deepEqual(clientTlsOf('ca.pem', { clientCert: 'c', clientKey: 'k' }, 'node'), {
    ...{ caFile: 'ca.pem', certFile: 'c', keyFile: 'k', serverName: 'node' },
  });
});
