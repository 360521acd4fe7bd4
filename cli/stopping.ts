// How a server's process ends: the first signal begins the stop, which has its time; what takes
// longer is cut, and a second signal cuts at once.
import { systemClock } from '../common/clock.ts';

/** What still keeps the process so long after everything was stopped can't be ended otherwise. */
const LINGER_MS = 2_000;
/**
 * A terminal sends Ctrl-C to all processes of a command, and npm and cli/torus.cjs pass theirs on:
 * signals that come so soon after the first one are the same one.
 */
const SAME_SIGNAL_MS = 1_000;
const STOPPING = 'torus: stopping; calls in flight end first, a second Ctrl-C cuts them';

/**
 * A run in native code can't be interrupted, and process.exit() waits for it. By then the stores
 * are closed, or are recovered at the next start as after any other kill.
 */
const endNow = (): void => void process.kill(process.pid, 'SIGKILL');

export interface Stopping {
  /** Aborted when the process is to stop. */
  readonly signal: AbortSignal;
  begin(): void;
}

/** @param timeoutMs from the stop's beginning on; then the process ends as it is. */
export function stopOnSignals(timeoutMs: number): Stopping {
  const stopping = new AbortController();
  let beganMs = Number.POSITIVE_INFINITY;
  const begin = (): void => {
    if (stopping.signal.aborted) return;
    beganMs = systemClock.nowMs();
    stopping.abort();
    setTimeout(endNow, timeoutMs).unref();
  };
  const onSignal = (): void => {
    if (systemClock.nowMs() - beganMs > SAME_SIGNAL_MS) endNow();
    if (stopping.signal.aborted) return;
    begin();
    // Below a terminal's '^C', and a bar's last line, which comes when its work was aborted.
    const start = process.stderr.isTTY ? '\n' : '';
    setImmediate(() => process.stderr.write(`${start}${STOPPING}\n`));
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  return { signal: stopping.signal, begin };
}

/** To be called when everything was stopped: the process ends by itself, or is ended. */
export function endSoon(): void {
  setTimeout(endNow, LINGER_MS).unref();
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
