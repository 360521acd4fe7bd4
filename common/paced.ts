// A source that comes too slowly holds a place that others wait for: this ends it. Only the time
// that we wait for it counts, not the time that we take for what it brought.
import type { Clock } from './clock.ts';
import { Code, StatusError } from './status.ts';

export interface Pace {
  /** It must bring `minBytes`, or end, in every `windowMs` of waiting for it. */
  readonly windowMs: number;
  readonly minBytes: number;
}

/** @throws DEADLINE_EXCEEDED, as the error of the source */
export async function* paced(
  source: AsyncIterator<Uint8Array>,
  { windowMs, minBytes }: Pace,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  let leftMs = windowMs;
  let windowBytes = 0;
  for (;;) {
    const sinceMs = clock.nowMs();
    const next = await within(source.next(), leftMs, clock, () =>
      tooSlow(windowBytes, { windowMs, minBytes }),
    );
    if (next.done === true) return;
    leftMs -= clock.nowMs() - sinceMs;
    windowBytes += next.value.length;
    if (windowBytes >= minBytes) [leftMs, windowBytes] = [windowMs, 0];
    yield next.value;
  }
}

function tooSlow(foundBytes: number, { windowMs, minBytes }: Pace): StatusError {
  const came = foundBytes === 0 ? 'no byte came' : `only ${foundBytes} bytes came`;
  return new StatusError(
    Code.DEADLINE_EXCEEDED,
    `${came} for ${windowMs / 1000} s, at least ${minBytes} are expected in that time`,
  );
}

/** What `work` gives, or `late` thrown when it takes longer: its end is not waited for then. */
export async function within<T>(
  work: Promise<T>,
  limitMs: number,
  clock: Clock,
  late: () => Error,
): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const cancel = clock.after(limitMs, () => timeout.reject(late()));
  try {
    return await Promise.race([work, timeout.promise]);
  } finally {
    cancel();
  }
}
