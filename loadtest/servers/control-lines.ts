// What a server under test tells its bench: how many calls it answered with OK, what its heap holds
// after a collection, how long the process was held up. One line in, one line out.
import { createHistogram, PerformanceObserver } from 'node:perf_hooks';
import { createInterface } from 'node:readline';

export interface ControlLines {
  /** Answered with OK so far. */
  calls(): number | Promise<number>;
  /** Further words, each answered by numbers. */
  readonly more?: Readonly<Record<string, () => readonly number[] | Promise<readonly number[]>>>;
  /** The bench is gone, or asks to end. */
  stop(): void | Promise<void>;
}

/** Time spent in garbage collection, and its longest pause, since it was last asked. */
function watchPauses(): () => readonly number[] {
  const pauses = createHistogram();
  let [totalMs, sinceMs] = [0, performance.now()];
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      totalMs += duration;
      pauses.record(Math.max(1, Math.round(duration * 1_000)));
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => {
    const nowMs = performance.now();
    const longestMs = pauses.count === 0 ? 0 : pauses.max / 1_000;
    const answer = [totalMs, nowMs - sinceMs, longestMs];
    [totalMs, sinceMs] = [0, nowMs];
    pauses.reset();
    return answer;
  };
}

export function answerControlLines({ calls, more = {}, stop }: ControlLines): void {
  let readPauses: (() => readonly number[]) | undefined;
  const words: ControlLines['more'] = {
    calls: async () => [await calls()],
    heap: () => {
      globalThis.gc?.();
      const { heapUsed, external, rss } = process.memoryUsage();
      return [heapUsed, external, rss];
    },
    // The first asking starts the watch: it costs something.
    pauses: () => {
      readPauses ??= watchPauses();
      return readPauses();
    },
    ...more,
  };
  const lines = createInterface({ input: process.stdin });
  lines.on('line', async (line) => {
    const numbers = (await words[line]?.()) ?? [];
    console.log([line, ...numbers].join(' '));
  });
  const end = (): void => {
    lines.off('close', end);
    lines.close();
    process.stdin.destroy();
    void stop();
  };
  lines.on('close', end);
  process.once('SIGTERM', end);
}
