import test from 'ava';
import fc from 'fast-check';
import { Code, StatusError } from '../common/status.ts';
import { type JobDoc, type JobSpec, jobDoc, MAX_JOB_ATTEMPTS } from './documents.ts';
import {
  cancelJob,
  checkClaim,
  claimJob,
  failJob,
  hasEnded,
  holdsClaim,
  type JobClaim,
  makeJobId,
  newJob,
  progressJob,
  requestCancel,
  requeueJob,
  reserveJobVersion,
  succeedJob,
} from './jobs.ts';

const SPEC: JobSpec = {
  kind: 'import_dataset',
  dataset: 'digits',
  blobSha256: '0'.repeat(64),
  fileName: 'digits.csv',
  maxBadRowRatio: 0.01,
  seals: true,
};

const RESULT = { name: 'datasets/digits/versions/1', metrics: { accepted: 3 } };

function claimOf(job: JobDoc): JobClaim {
  return { id: job.id, owner: job.owner, epoch: job.epoch };
}

function isFenced(change: () => unknown): boolean {
  try {
    change();
    return false;
  } catch (error) {
    return error instanceof StatusError && error.code === Code.ABORTED;
  }
}

test('a job runs from queued to succeeded under one claim', (t) => {
  const queued = newJob('j1', SPEC, 1);
  const running = claimJob(queued, 'worker-a', 2);
  t.like(running, { state: 'RUNNING', owner: 'worker-a', epoch: 1, attempts: 1, startedMs: 2 });
  const progress = { fraction: 2, step: 'reading', metrics: { rows: 10 } };
  const halfway = progressJob(running, claimOf(running), progress, 3);
  t.like(halfway.progress, { fraction: 1, step: 'reading' });
  const done = succeedJob(halfway, claimOf(running), RESULT, 4);
  t.like(done, { state: 'SUCCEEDED', endedMs: 4, result: RESULT });
  t.notThrows(() => jobDoc.parse(done));
});

test('a worker that lost its claim is refused with ABORTED and told who has it', (t) => {
  const first = claimJob(newJob('j1', SPEC, 1), 'worker-a', 2);
  const second = claimJob(first, 'worker-b', 3);
  t.is(second.epoch, 2);
  const stale = claimOf(first);
  for (const change of [
    () => progressJob(second, stale, { fraction: 0.5, step: '', metrics: {} }, 4),
    () => reserveJobVersion(second, stale, 1, 4),
    () => succeedJob(second, stale, RESULT, 4),
    () => failJob(second, stale, new StatusError(Code.INTERNAL, 'x'), 4),
    () => cancelJob(second, stale, 4),
    () => requeueJob(second, stale, 4),
  ]) {
    t.true(isFenced(change));
  }
  const error = t.throws(() => checkClaim(second, stale), { instanceOf: StatusError });
  t.regex(error?.message ?? '', /worker-a's under epoch 1 .* epoch 2, owner worker-b/);
});

test('a job whose workers are lost is given up after the last attempt, with the reason', (t) => {
  let job = newJob('j1', SPEC, 1);
  for (let attempt = 1; attempt <= MAX_JOB_ATTEMPTS; attempt += 1) {
    job = claimJob(job, `worker-${attempt}`, attempt);
    t.is(job.state, 'RUNNING');
  }
  job = claimJob(job, 'worker-x', 9);
  t.like(job, { state: 'FAILED', endedMs: 9 });
  t.regex(job.error?.message ?? '', /given up after 3 attempts.*worker-3/);
});

test('cancelling ends a queued job at once, a running one by its owner or its next one', (t) => {
  t.is(requestCancel(newJob('j1', SPEC, 1), 2).state, 'CANCELLED');
  const running = requestCancel(claimJob(newJob('j1', SPEC, 1), 'a', 2), 3);
  t.like(running, { state: 'RUNNING', isCancelRequested: true });
  t.is(requestCancel(running, 4), running);
  t.is(cancelJob(running, claimOf(running), 4).state, 'CANCELLED');
  t.is(claimJob(running, 'b', 4).state, 'CANCELLED');
  const ended = cancelJob(running, claimOf(running), 4);
  t.is(requestCancel(ended, 5), ended);
  // Its lost worker may have published: the next one is to look.
  const reserved = reserveJobVersion(running, claimOf(running), 3, 4);
  t.like(claimJob(reserved, 'b', 5), { state: 'RUNNING', isCancelRequested: true });
  const failed = { ...ended, state: 'FAILED' as const };
  t.throws(() => requestCancel(failed, 5), { message: /has ended already: FAILED/ });
});

test('a polite stop gives the job back and counts no attempt', (t) => {
  const running = claimJob(newJob('j1', SPEC, 1), 'a', 2);
  const back = requeueJob(running, claimOf(running), 3);
  t.like(back, { state: 'QUEUED', owner: '', attempts: 0, epoch: 1 });
  t.true(isFenced(() => succeedJob(back, claimOf(running), RESULT, 4)));
});

test('the version that a job publishes is fixed once', (t) => {
  const running = claimJob(newJob('j1', SPEC, 1), 'a', 2);
  const reserved = reserveJobVersion(running, claimOf(running), 7, 3);
  const again = claimJob(reserved, 'b', 4);
  t.is(reserveJobVersion(again, claimOf(again), 8, 5).reservedVersion, 7);
});

test('job ids sort by time and are allowed names', (t) => {
  const early = makeJobId(Date.UTC(2026, 0, 31, 23, 59, 59, 123), '00000001');
  t.is(early, '20260131t235959123-00000001');
  t.true(early < makeJobId(Date.UTC(2026, 1, 1), '00000000'));
});

type Step =
  | { readonly kind: 'claim' | 'crash' | 'stop' | 'cancel' }
  | { readonly kind: 'write'; readonly what: number; readonly back: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ kind: 'claim' }) },
  fc.constant<Step>({ kind: 'crash' }),
  fc.constant<Step>({ kind: 'stop' }),
  fc.constant<Step>({ kind: 'cancel' }),
  fc.record({ kind: fc.constant('write' as const), what: fc.nat(3), back: fc.nat(2) }),
);

/** One step of a world with a lease; claims are all that were ever given, the newest first. */
function advance(job: JobDoc, claims: JobClaim[], leased: boolean, step: Step, now: number) {
  const newest = claims[0];
  switch (step.kind) {
    case 'claim': {
      if (leased || hasEnded(job)) return { job, leased };
      const next = claimJob(job, `w${now % 2}`, now);
      if (next.state === 'RUNNING') claims.unshift(claimOf(next));
      return { job: next, leased: next.state === 'RUNNING' };
    }
    case 'crash':
      return { job, leased: false };
    case 'stop':
      if (newest === undefined || !holdsClaim(job, newest)) return { job, leased };
      return { job: requeueJob(job, newest, now), leased: false };
    case 'cancel':
      return { job: hasEnded(job) ? job : requestCancel(job, now), leased };
    case 'write': {
      const claim = claims[step.back];
      if (claim === undefined) return { job, leased };
      return { job: write(job, claim, step.what, now), leased };
    }
  }
}

function write(job: JobDoc, claim: JobClaim, what: number, now: number): JobDoc {
  try {
    if (what === 0) return succeedJob(job, claim, RESULT, now);
    if (what === 1) return failJob(job, claim, new StatusError(Code.INTERNAL, 'no'), now);
    if (what === 2) return cancelJob(job, claim, now);
    return progressJob(job, claim, { fraction: 0.5, step: 's', metrics: {} }, now);
  } catch (error) {
    if (error instanceof StatusError && error.code === Code.ABORTED) return job;
    throw error;
  }
}

test('whatever happens: ended stays ended, old claims change nothing, no job is lost', (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let job = newJob('j1', SPEC, 0);
      let leased = false;
      const claims: JobClaim[] = [];
      for (const [at, one] of steps.entries()) {
        const before = job;
        ({ job, leased } = advance(before, claims, leased, one, at + 1));
        if (hasEnded(before)) t.is(job, before);
        t.true(job.epoch >= before.epoch);
        t.true(job.attempts <= MAX_JOB_ATTEMPTS);
        if (one.kind === 'write' && job !== before) t.is(claims[one.back]?.epoch, before.epoch);
        jobDoc.parse(job);
      }
      for (let left = MAX_JOB_ATTEMPTS + 1; left > 0 && !hasEnded(job); left -= 1) {
        job = claimJob(job, 'last', 99);
      }
      t.true(hasEnded(job));
    }),
    { numRuns: 500 },
  );
});
