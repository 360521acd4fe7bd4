import test, { type ExecutionContext } from 'ava';
import { VirtualClock } from '../common/clock.ts';
import { createLog } from '../common/log.ts';
import { Code, StatusError } from '../common/status.ts';
import { MemoryRegistry } from '../registry/memory.ts';
import { MemoryDocuments } from '../stores/documents/memory.ts';
import { mutedRegistry } from '../test/support/muted-registry.ts';
import { Catalog } from './catalog.ts';
import { type JobDoc, type JobSpec, MAX_JOB_ATTEMPTS } from './documents.ts';
import { JOB_LOOK_MS, type JobHandlers, type JobLoop, startJobLoop } from './job-loop.ts';
import {
  JOB_LEASE_MS,
  JOB_RENEW_MS,
  type JobContext,
  JobRun,
  PROGRESS_WRITE_MS,
} from './job-run.ts';
import { claimJob, hasEnded, newJob, requestCancel } from './jobs.ts';
import { queueJob } from './queue.ts';

const SPEC: JobSpec = {
  kind: 'import_dataset',
  dataset: 'd',
  blobSha256: '0'.repeat(64),
  fileName: 'd.csv',
  maxBadRowRatio: 0,
  seals: false,
};
const RESULT = { name: 'datasets/d/versions/1', metrics: { accepted: 1 } };

const log = createLog({ role: 'test', level: 'silent' });

class World {
  readonly clock = new VirtualClock();
  readonly registry = new MemoryRegistry(this.clock);
  readonly catalog = new Catalog(new MemoryDocuments());
  readonly loops: JobLoop[] = [];

  loop(owner: string, handlers: JobHandlers): JobLoop {
    const { clock, registry, catalog } = this;
    const dateMs = () => clock.nowMs();
    const loop = startJobLoop({ owner, handlers, clock, registry, catalog, log, dateMs });
    this.loops.push(loop);
    return loop;
  }

  async queue(id: string): Promise<void> {
    await queueJob(this, id, SPEC, this.clock.nowMs());
  }

  get log() {
    return log;
  }

  async job(id: string): Promise<JobDoc> {
    return (await this.catalog.require('job', id)).doc;
  }

  /** Lets everything that is due happen, without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(Math.min(250, left));
      await this.settle();
    }
  }
}

/** A handler that runs until told how to end. */
function held() {
  const runs: { context: JobContext; end: PromiseWithResolvers<typeof RESULT> }[] = [];
  const handler = (_job: unknown, context: JobContext) => {
    const end = Promise.withResolvers<typeof RESULT>();
    runs.push({ context, end });
    context.signal.addEventListener('abort', () => end.reject(context.signal.reason));
    return end.promise;
  };
  const run = (t: ExecutionContext, at: number) => {
    const found = runs[at];
    if (found === undefined) return t.fail(`run ${at} has not started`) as never;
    return found;
  };
  return { runs, run, handlers: { import_dataset: handler } satisfies JobHandlers };
}

test('a queued job is taken when it is announced, and its result written', async (t) => {
  const world = new World();
  world.loop('a', { import_dataset: async () => RESULT });
  await world.settle();
  await world.queue('j1');
  await world.settle();
  t.like(await world.job('j1'), { state: 'SUCCEEDED', owner: 'a', epoch: 1, result: RESULT });
  t.is(await world.registry.lease('jobs/j1'), undefined);
});

test('a loop that may have missed an announcement looks at once', async (t) => {
  const world = new World();
  const { registry, tellAll } = mutedRegistry(world.registry);
  const { clock, catalog } = world;
  const handlers = { import_dataset: async () => RESULT };
  startJobLoop({ owner: 'a', handlers, clock, registry, catalog, log, dateMs: () => 0 });
  await world.settle();
  await world.queue('j1');
  await world.settle();
  t.is((await world.job('j1')).state, 'QUEUED');
  tellAll();
  await world.settle();
  t.is((await world.job('j1')).state, 'SUCCEEDED');
});

test('a job queued before the loop started, or whose hint was lost, is found', async (t) => {
  const world = new World();
  await world.queue('j1');
  world.loop('a', { import_dataset: async () => RESULT });
  await world.settle();
  t.is((await world.job('j1')).state, 'SUCCEEDED');
  const { doc } = await world.catalog.require('job', 'j1');
  await world.catalog.create('job', 'j2', { ...doc, id: 'j2', state: 'QUEUED' });
  await world.settle();
  t.is((await world.job('j2')).state, 'QUEUED');
  await world.pass(JOB_LOOK_MS);
  t.is((await world.job('j2')).state, 'SUCCEEDED');
});

test("a handler's error is the job's error", async (t) => {
  const world = new World();
  world.loop('a', {
    import_dataset: async () => {
      throw new StatusError(Code.INVALID_ARGUMENT, 'row 3 has 2 fields');
    },
  });
  await world.queue('j1');
  await world.settle();
  const error = { code: Code.INVALID_ARGUMENT, message: 'row 3 has 2 fields' };
  t.like(await world.job('j1'), { state: 'FAILED', error });
});

test('a failure by what a job was given is logged without a stack, a fault with one', async (t) => {
  const world = new World();
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const own = createLog({ role: 'test', level: 'warn', destination });
  const run = async (id: string, error: Error) => {
    const job = claimJob(newJob(id, SPEC, 0), 'a', 0);
    await world.catalog.create('job', id, job);
    const dateMs = () => world.clock.nowMs();
    await new JobRun({ ...world, log: own, dateMs }, job).run(() => Promise.reject(error));
    return JSON.parse(lines.at(-1) ?? '{}');
  };
  const given = await run('j1', new StatusError(Code.INVALID_ARGUMENT, 'row 3 has 2 fields'));
  t.like(given, { job: 'j1', code: 'INVALID_ARGUMENT', reason: 'row 3 has 2 fields' });
  t.false(lines.join().includes('stack'));
  t.regex((await run('j2', new TypeError('x is undefined'))).err.stack, /job-loop\.test\.ts/);
});

test('a job runs at one worker at a time, for as long as it takes', async (t) => {
  const world = new World();
  const work = held();
  world.loop('a', work.handlers);
  world.loop('b', work.handlers);
  await world.queue('j1');
  await world.pass(5 * JOB_LEASE_MS);
  t.is(work.runs.length, 1);
  work.run(t, 0).end.resolve(RESULT);
  await world.settle();
  t.like(await world.job('j1'), { state: 'SUCCEEDED', epoch: 1, attempts: 1 });
});

test('jobs of one loop run in the order they came, as many at a time as allowed', async (t) => {
  const world = new World();
  const work = held();
  world.loop('a', work.handlers);
  await world.queue('j2');
  world.clock.advance(1);
  await world.queue('j1');
  await world.settle();
  t.deepEqual(
    work.runs.map(({ context }) => context.claim.id),
    ['j2'],
  );
  work.run(t, 0).end.resolve(RESULT);
  await world.settle();
  t.deepEqual(
    work.runs.map(({ context }) => context.claim.id),
    ['j2', 'j1'],
  );
});

test('progress is shown, not more often than it may be written', async (t) => {
  const world = new World();
  const work = held();
  world.loop('a', work.handlers);
  await world.queue('j1');
  await world.settle();
  const { revision } = await world.catalog.require('job', 'j1');
  const { context, end } = work.run(t, 0);
  for (let row = 1; row <= 100; row += 1) {
    context.progress(row / 200, 'reading', { rows: row, broken: Number.NaN });
  }
  await world.pass(PROGRESS_WRITE_MS);
  const entry = await world.catalog.require('job', 'j1');
  t.deepEqual(entry.doc.progress, { fraction: 0.5, step: 'reading', metrics: { rows: 100 } });
  t.is(entry.revision, revision + 1);
  context.progress(0.9, 'sealing');
  end.resolve(RESULT);
  await world.settle();
  t.like(await world.job('j1'), { state: 'SUCCEEDED', progress: { fraction: 1, step: 'sealing' } });
});

test('a cancel request from before the run is heeded, without waiting for anything', async (t) => {
  const world = new World();
  const job = claimJob(newJob('j1', SPEC, 0), 'a', 0);
  await world.catalog.create('job', 'j1', requestCancel(job, 1));
  const dateMs = () => world.clock.nowMs();
  const run = new JobRun({ ...world, log, dateMs }, job);
  const work = held();
  await run.run((context) => work.handlers.import_dataset(undefined, context));
  t.is((await world.job('j1')).state, 'CANCELLED');
});

test('a number of a result that is none does not keep the job from its end', async (t) => {
  const world = new World();
  const metrics = { accepted: 1, share: Number.NaN, most: Number.POSITIVE_INFINITY };
  world.loop('a', { import_dataset: async () => ({ ...RESULT, metrics }) });
  await world.queue('j1');
  await world.settle();
  t.like(await world.job('j1'), { state: 'SUCCEEDED', result: RESULT });
});

test('a cancel request reaches the handler at once in the same process', async (t) => {
  const world = new World();
  const work = held();
  world.loop('a', work.handlers);
  await world.queue('j1');
  await world.settle();
  await world.catalog.update('job', 'j1', (job) => requestCancel(job, 5));
  await world.settle();
  t.true(work.run(t, 0).context.signal.aborted);
  t.is((await world.job('j1')).state, 'CANCELLED');
});

test('a cancel request of another process is seen with the next renewal', async (t) => {
  const world = new World();
  const store = new MemoryDocuments();
  const [here, there] = [new Catalog(store), new Catalog(store)];
  const work = held();
  const { registry, clock } = world;
  const dateMs = () => clock.nowMs();
  const options = { owner: 'a', registry, clock, log, dateMs, catalog: here };
  startJobLoop({ ...options, handlers: work.handlers });
  await queueJob({ catalog: there, registry, log }, 'j1', SPEC, 0);
  await world.settle();
  await there.update('job', 'j1', (job) => requestCancel(job, 5));
  await world.settle();
  t.is((await there.require('job', 'j1')).doc.state, 'RUNNING');
  await world.pass(JOB_RENEW_MS);
  t.is((await there.require('job', 'j1')).doc.state, 'CANCELLED');
});

test('a polite stop gives the job back for the next worker', async (t) => {
  const world = new World();
  const [first, second] = [held(), held()];
  const loop = world.loop('a', first.handlers);
  await world.queue('j1');
  await world.settle();
  world.loop('b', second.handlers);
  await loop.stop();
  t.true(first.run(t, 0).context.signal.aborted);
  await world.settle();
  t.is(second.runs.length, 1);
  t.like(await world.job('j1'), { state: 'RUNNING', owner: 'b', epoch: 2, attempts: 1 });
});

test('a killed worker leaves its job to the next start, a bounded number of times', async (t) => {
  const world = new World();
  const store = new MemoryDocuments();
  const start = (owner: string, handlers: JobHandlers): void => {
    // Each start has a clock of its own that stands still, so the one before does nothing more.
    const clock = new VirtualClock();
    const [catalog, registry] = [new Catalog(store), new MemoryRegistry(clock)];
    startJobLoop({ owner, handlers, clock, registry, catalog, log, dateMs: () => 0 });
  };
  const job = async () => (await new Catalog(store).require('job', 'j1')).doc;
  await new Catalog(store).create('job', 'j1', newJob('j1', SPEC, 0));
  for (let attempt = 1; attempt <= MAX_JOB_ATTEMPTS; attempt += 1) {
    start(`start-${attempt}`, held().handlers);
    await world.settle();
    const owner = `start-${attempt}`;
    t.like(await job(), { state: 'RUNNING', owner, epoch: attempt, attempts: attempt });
  }
  start('last', { import_dataset: async () => RESULT });
  await world.settle();
  t.is((await job()).state, 'FAILED');
  t.regex((await job()).error?.message ?? '', /given up after 3 attempts.*start-3/);
});

test('a worker whose lease ran out while it slept changes nothing when it wakes', async (t) => {
  const world = new World();
  const store = new MemoryDocuments();
  const sleeping = new Catalog(store);
  const awake = new Catalog(store);
  const asleep = new VirtualClock();
  const { registry, clock } = world;
  const [lost, winning] = [held(), held()];
  const shared = { registry, log, dateMs: () => 0 };
  startJobLoop({
    ...shared,
    owner: 'a',
    catalog: sleeping,
    clock: asleep,
    handlers: lost.handlers,
  });
  await queueJob({ catalog: awake, registry, log }, 'j1', SPEC, 0);
  await world.settle();
  startJobLoop({ ...shared, owner: 'b', catalog: awake, clock, handlers: winning.handlers });
  await world.pass(JOB_LEASE_MS + JOB_LOOK_MS);
  t.is(winning.runs.length, 1);
  lost.run(t, 0).context.progress(0.9, 'almost');
  asleep.advance(PROGRESS_WRITE_MS);
  await world.settle();
  t.true(lost.run(t, 0).context.signal.aborted);
  winning.run(t, 0).end.resolve(RESULT);
  await world.settle();
  const { doc } = await awake.require('job', 'j1');
  t.like(doc, { state: 'SUCCEEDED', owner: 'b', epoch: 2 });
  t.is(doc.progress.step, '');
});

test('a loop takes no kind of job that it does not handle', async (t) => {
  const world = new World();
  world.loop('trainer', { train: async () => RESULT });
  await world.queue('j1');
  await world.pass(2 * JOB_LOOK_MS);
  t.is((await world.job('j1')).state, 'QUEUED');
});

test('with workers that come and go, every job ends once', async (t) => {
  const world = new World();
  const count = 12;
  for (let at = 0; at < count; at += 1) await world.queue(`j${at}`);
  let runs = 0;
  const handlers: JobHandlers = {
    import_dataset: async (_job, { signal }) => {
      runs += 1;
      const nth = runs;
      await new Promise<void>((done) => world.clock.after(400, done));
      if (signal.aborted) throw signal.reason;
      if (nth % 5 === 0) throw new StatusError(Code.INTERNAL, 'no');
      return RESULT;
    },
  };
  const ended = async (): Promise<boolean> =>
    (await world.catalog.all('job')).every(({ doc }) => hasEnded(doc));
  for (let round = 0; round < 40 && !(await ended()); round += 1) {
    const loop = world.loop(`w${round}`, handlers);
    const other = world.loop(`v${round}`, handlers);
    await world.pass(1_000);
    const stops = Promise.all([loop.stop(), other.stop()]);
    await world.pass(500);
    await stops;
  }
  const jobs = (await world.catalog.all('job')).map(({ doc }) => doc);
  t.true(jobs.every((job) => job.state === 'SUCCEEDED' || job.state === 'FAILED'));
});

test('a broken job document keeps no other job from running', async (t) => {
  const world = new World();
  const store = new MemoryDocuments();
  await store.put('job', 'a', { schema: 1, state: 'QUEUED' }, 0);
  const { clock, registry } = world;
  const catalog = new Catalog(store);
  const handlers = { import_dataset: async () => RESULT };
  startJobLoop({ owner: 'w', handlers, clock, registry, catalog, log, dateMs: () => 0 });
  await queueJob({ catalog, registry, log }, 'b', SPEC, 0);
  await world.settle();
  t.is((await catalog.require('job', 'b')).doc.state, 'SUCCEEDED');
});
