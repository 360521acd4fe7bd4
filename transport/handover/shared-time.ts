// Moments that mean the same on every thread of a process. A thread's performance.now() begins
// when the thread does; process.hrtime() is one monotonic clock for all.

/** Added to this thread's performance.now(): milliseconds of the clock that threads share. */
export function sharedOffsetMs(): number {
  return Number(process.hrtime.bigint()) / 1e6 - performance.now();
}
