// When the certificate of a process ends: whoever renews it too late hears of it before.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Gauge } from 'prom-client';
import type { Metrics } from '../common/metrics.ts';
import type { ServerTls } from '../transport/tls/tls-files.ts';

/** Read anew for each page: the file is what is served soon, if not yet. */
export function countCertificate(metrics: Metrics, tls: ServerTls | undefined): void {
  if (tls === undefined) return;
  new Gauge({
    name: 'torus_tls_certificate_expiry_timestamp_seconds',
    help: "When the certificate of this process's listeners expires; 0: the file is none",
    registers: [metrics],
    collect() {
      this.set(expiryOf(tls.certFile));
    },
  });
}

function expiryOf(file: string): number {
  try {
    return Date.parse(new X509Certificate(readFileSync(file)).validTo) / 1_000;
  } catch {
    return 0;
  }
}
