// The process of one role: it starts, says on one line where it listens, is looked at over its
// metrics port, and ends when told to, in the order in which it was made, backwards.
import { createLog, type Log } from '../../common/log.ts';
import {
  collectLoopLag,
  collectProcessMetrics,
  createMetrics,
  type Metrics,
  renderMetrics,
  snapshot,
} from '../../common/metrics.ts';
import { formatAddress } from '../../transport/listen.ts';
import { serveObserve } from '../../transport/observe.ts';
import { aborted, endSoon, stopOnSignals } from '../stopping.ts';
import { countCertificate } from '../tls-metrics.ts';
import { serverTlsOf } from '../tls-settings.ts';
import { Closers } from '../up/closers.ts';
import type { RoleName, RoleSettings } from './settings.ts';

/** Past it the process ends as it is: it is gone within 30 s of the signal. */
const STOP_TIMEOUT_MS = 29_500;

export interface RoleContext<R extends RoleName> {
  readonly settings: RoleSettings<R>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What is added is closed at the end, last first. */
  readonly closers: Closers;
  /** It can't go on: the process drains, and ends with an error. */
  readonly onFatal: (error: Error) => void;
}

export interface RunningRole {
  /** By the name on the ready line. */
  readonly addresses: Readonly<Record<string, string>>;
  /** What it is not ready for yet; empty: ready. Asks nobody outside of this process. */
  waitingFor(): readonly string[];
}

export type StartRole<R extends RoleName> = (context: RoleContext<R>) => Promise<RunningRole>;

/** Resolves when the process may end. @throws what kept it from starting. */
export async function runRole<R extends RoleName>(
  role: R,
  settings: RoleSettings<R>,
  start: StartRole<R>,
): Promise<void> {
  const log = createLog({ level: settings.logLevel }).child({ role });
  const metrics = createMetrics();
  collectProcessMetrics(metrics);
  collectLoopLag(metrics, 'main');
  const tls = serverTlsOf(settings);
  countCertificate(metrics, tls);
  const closers = new Closers(log);
  const stopping = stopOnSignals(STOP_TIMEOUT_MS);
  const onFatal = (error: Error): void => {
    log.fatal({ err: error }, 'the process has to end');
    process.exitCode = 1;
    stopping.begin();
  };
  try {
    let running: RunningRole | undefined;
    const { host, metricsPort, insecure } = settings;
    const observe = await serveObserve({
      ...{ host, port: metricsPort, isInsecure: insecure, tls: tls && { ...tls, log } },
      waitingFor: async () =>
        stopping.signal.aborted
          ? ['the end: it is shutting down']
          : (running?.waitingFor() ?? ['start']),
      metrics: async () => renderMetrics([await snapshot(metrics)]),
    });
    closers.add('metrics listener', () => observe.stop());
    running = await start({ settings, log, metrics, closers, onFatal });
    const all = { ...running.addresses, metrics: formatAddress(host, observe.port) };
    const shown = Object.entries(all).map(([name, address]) => `${name}=${address}`);
    process.stdout.write(`torus ${role} ready ${shown.join(' ')}\n`);
    await aborted(stopping.signal);
  } finally {
    await closers.close();
    endSoon();
  }
}
