// A listener of our transport with the interoperability tests' service, plain or over TLS with a
// certificate made for the run.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLog } from '../../common/log.ts';
import { type OwnGrpcListener, serveGrpc } from '../../transport/server/serve-grpc.ts';
import { InteropService } from './interop-service.ts';

const log = createLog({ role: 'test', level: 'silent' });

export interface TestListener {
  readonly port: number;
  readonly held: OwnGrpcListener['held'];
  stop(): void;
}

/** @throws Error over TLS when there is no openssl. */
export async function testListener(isTls: boolean): Promise<TestListener> {
  const folder = mkdtempSync(join(tmpdir(), 'torus-conformance-'));
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  if (isTls) {
    const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const out = ['-keyout', keyFile, '-out', certFile, '-days', '2'];
    execFileSync('openssl', ['req', ...kind, ...name, ...out], { stdio: 'ignore' });
  }
  const listener = await serveGrpc({
    backend: new InteropService(),
    host: '127.0.0.1',
    port: 0,
    log,
    ...(isTls && { tls: { certFile, keyFile } }),
  });
  return {
    port: listener.port,
    get held() {
      return listener.held;
    },
    stop() {
      listener.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
