// Certificates for tests of TLS, made by openssl where the machine has it.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const HERE = 'DNS:localhost,IP:127.0.0.1';

/**
 * key.pem and cert.pem in `folder`, signed by itself. False: there is no openssl here.
 */
export function makeCertificate(folder: string, names = HERE): boolean {
  const subject = ['-subj', '/CN=localhost', '-addext', `subjectAltName=${names}`];
  const files = ['-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const args = ['req', ...kind, '-days', '2', ...subject, ...files];
  try {
    execFileSync('openssl', args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
