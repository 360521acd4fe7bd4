// What a server under test tells its bench: how many calls it answered with OK, what its heap holds
// after a collection, how long the process was held up. One line in, one line out.
import {
  constants,
  type NodeGCPerformanceDetail,
  type PerformanceEntry,
  PerformanceObserver,
} from 'node:perf_hooks';
import { createInterface } from 'node:readline';

export interface ControlLines {
  /** Answered with OK so far. */
  calls(): number | Promise<number>;
  /** Further words, each answered by numbers. */
  readonly more?: Readonly<Record<string, () => readonly number[] | Promise<readonly number[]>>>;
  /** The bench is gone, or asks to end. */
  stop(): void | Promise<void>;
}

type GcEntry = PerformanceEntry & { readonly detail: NodeGCPerformanceDetail };

/** Of garbage collection since it was last asked: time spent, over what time, longest pause; ms. */
function watchPauses(): () => readonly number[] {
  let [totalMs, longestMs, sinceMs] = [0, 0, performance.now()];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { duration } = entry;
      const { flags = 0 } = (entry as GcEntry).detail;
      // Those that a look at the heap forces are not the server's.
      if ((flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) !== 0) continue;
      totalMs += duration;
      longestMs = Math.max(longestMs, duration);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return () => {
    const nowMs = performance.now();
    const answer = [totalMs, nowMs - sinceMs, longestMs];
    [totalMs, longestMs, sinceMs] = [0, 0, nowMs];
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
    // Code that only the start needed goes: V8 would drop it some collections later.
    settle: () => {
      globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      return [];
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
