// R11: the leader stands still for longer than its lease and then goes on; a router, then the
// leader, loses the way to Redis while all others have it: a TCP proxy in front of Redis, one for
// each of them, falls silent.
import { pause, untilTrue } from '../../support/redis-server.ts';
import { type TcpProxy, tcpProxy } from '../../support/tcp-proxy.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { type Criterion, type Fault, none, type Stage } from '../fault.ts';
import { leaders, theLeader, watchLeadership } from '../leadership.ts';
import type { Member } from '../member.ts';

const FULL = { awayMs: 15_000, settledMs: 4_000, isPublishing: true };
/** No longer than it takes until another one leads; the router is cut at the same time. */
const SHORT = { awayMs: 0, settledMs: 1_000, isPublishing: false };
/** Of the leader's lease: 3 s; and what a busy machine adds. */
const STEP_DOWN_MS = 4_500;
const TAKE_OVER_TIMEOUT_MS = 20_000;

interface CutCluster {
  readonly cluster: ChaosCluster;
  readonly proxies: ReadonlyMap<string, TcpProxy>;
}

export const cutLeader: Fault = {
  id: 'R11',
  title: 'the leader is paused; router or leader cut from Redis',
  async run(stage, form) {
    const { awayMs, settledMs, isPublishing } = form === 'full' ? FULL : SHORT;
    const { cluster, proxies } = await proxiedCluster(stage);
    const watch = watchLeadership(`redis://127.0.0.1:${cluster.surroundings.redis.port}`);
    stage.teardown(() => watch.end());
    const load = await stage.load(cluster);
    const criteria: Criterion[] = [];

    const [router] = cluster.routers;
    const routersWay = wayOf(proxies, router);
    if (form === 'short') routersWay.silence();
    const paused = await theLeader(cluster);
    paused.pause();
    stage.teardown(async () => paused.resume());
    const successor = await takenOver(cluster, paused);
    // What the successor writes meanwhile is what the one that wakes up must not undo.
    const [model] = cluster.options.models;
    if (isPublishing && model !== undefined) await cluster.admin.publishVersion(model, 2);
    await pause(awayMs);
    paused.resume();
    criteria.push(await stepsDown('paused leader', cluster, paused));
    await pause(settledMs);
    stage.note(`${paused.id} was paused, ${successor.id} took over`);

    if (form === 'full') routersWay.silence();
    await pause(awayMs);
    routersWay.restore();
    stage.note(`${router?.id} was cut from Redis`);

    const cut = await theLeader(cluster);
    wayOf(proxies, cut).silence();
    criteria.push(await stepsDown('cut leader', cluster, cut));
    await takenOver(cluster, cut);
    await pause(awayMs);
    wayOf(proxies, cut).restore();
    await pause(settledMs);
    stage.note(`${cut.id} was cut from Redis`);
    await theLeader(cluster);
    await load.stop();
    return { deed: deedOf(awayMs), criteria: [...criteria, ...lasting(load, watch)] };
  },
};

function wayOf(proxies: ReadonlyMap<string, TcpProxy>, member: Member | undefined): TcpProxy {
  const proxy = proxies.get(member?.id ?? '');
  if (proxy === undefined) throw new Error(`${member?.id} has no proxy of its own`);
  return proxy;
}

const deedOf = (ms: number): string =>
  `leader paused until another leads and ${ms / 1_000} s more; a router, the leader cut as long`;

function lasting(
  { book, startMs }: Awaited<ReturnType<Stage['load']>>,
  watch: ReturnType<typeof watchLeadership>,
): readonly Criterion[] {
  const all = book.figures();
  const words = book.failureWords(startMs);
  const epochs = watch.epochs();
  return [
    {
      promise: 'no flapping: 2 changes of the leader',
      measured: `epochs ${epochs.join(', ')}`,
      isKept: epochs.length === 3 && epochs.every((epoch, at) => epoch > (epochs[at - 1] ?? 0)),
    },
    none('shards set back by an old leader: 0', watch.setBacks(), 'all looks at the registry'),
    none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
    none('failed predictions: 0', all.failed, `${all.calls} calls`, words),
  ];
}

/** Until another one leads. */
async function takenOver(cluster: ChaosCluster, old: Member): Promise<Member> {
  const others = async () => (await leaders(cluster)).filter((member) => member !== old);
  await untilTrue(
    `another one leads than ${old.id}`,
    async () => (await others()).length === 1,
    TAKE_OVER_TIMEOUT_MS,
  );
  const [successor] = await others();
  if (successor === undefined) throw new Error('nobody leads');
  return successor;
}

/** How long it still says that it leads. */
async function stepsDown(what: string, cluster: ChaosCluster, old: Member): Promise<Criterion> {
  const fromMs = performance.now();
  await untilTrue(`${old.id} leads no more`, async () => !(await leaders(cluster)).includes(old));
  const tookMs = performance.now() - fromMs;
  const measured = `${(tookMs / 1_000).toFixed(2)} s`;
  return { promise: `${what} steps down: <= 4.5 s`, measured, isKept: tookMs <= STEP_DOWN_MS };
}

/** Control and routers each have a way of their own to Redis. */
async function proxiedCluster(stage: Stage): Promise<CutCluster> {
  const proxies = new Map<string, TcpProxy>();
  const cluster = await stage.ownCluster({
    ...USUAL_CLUSTER,
    controls: 2,
    async flags(role, id, { redis }) {
      if (role !== 'control' && role !== 'router') return [];
      const proxy = await tcpProxy(redis.port);
      stage.teardown(() => proxy.end());
      proxies.set(id, proxy);
      return ['--registry', `redis://127.0.0.1:${proxy.port}`];
    },
  });
  return { cluster, proxies };
}
