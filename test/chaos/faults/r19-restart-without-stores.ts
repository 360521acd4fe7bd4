// R19: a router, a node or control is started again while Redis, S3 or the catalog is away: it
// serves from what its data folder has, and what is back is taken up by itself.
import { pause, untilTrue } from '../../support/redis-server.ts';
import { hasS3 } from '../../support/s3-server.ts';
import { checkedRequest, wrongIn } from '../checked-model.ts';
import { torusClient } from '../clients.ts';
import { type ChaosCluster, type Surroundings, USUAL_CLUSTER } from '../cluster.ts';
import { type Criterion, type Fault, NotHere, none, type Stage } from '../fault.ts';
import { leaders } from '../leadership.ts';
import type { Member } from '../member.ts';

/** A node that starts on a busy machine is back by then, and so are the calls of its models. */
const DEADLINE_MS = 10_000;
const ANSWER_MS = 2_000;
const CLIENTS_BACK_MS = 3_000;
const LEADS_TIMEOUT_MS = 60_000;
/** What is known is on the routers' disks by then: they write each 10 s. */
const KNOWN_MS = 11_000;

interface Store {
  readonly name: string;
  stop(): Promise<unknown>;
  start(): Promise<unknown>;
}

export const restartWithoutStores: Fault = {
  id: 'R19',
  title: 'restarts while Redis, S3 or the catalog is away',
  async run(stage, form) {
    if (!hasS3) throw new NotHere('no S3 service (scripts/ci-setup installs one)');
    const cluster = await stage.ownCluster({ ...USUAL_CLUSTER, blobs: 's3' });
    const stores = storesOf(cluster.surroundings);
    const outages = form === 'full' ? [...stores.map((store) => [store]), stores] : [stores];
    if (form === 'full') await pause(KNOWN_MS);
    const load = await stage.load(cluster, { deadlineMs: DEADLINE_MS });
    const criteria: Criterion[] = [];
    for (const away of outages) {
      const names = away.map(({ name }) => name).join(', ');
      await Promise.all(away.map((store) => store.stop()));
      const all = form === 'full' && away.length > 1;
      const wrong = await restarted(stage, cluster, names, all);
      await Promise.all(away.map((store) => store.start()));
      await leads(cluster);
      await cluster.untilReady();
      criteria.push(none(`${names} away: models not answered: 0`, wrong.length, 'all', `${wrong}`));
      stage.note(`${names}: back`);
    }
    await load.stop();
    const { book, startMs } = load;
    const all = book.figures();
    const words = book.failureWords(startMs);
    criteria.push(
      none('wrong answers: 0', all.wrong, `${all.calls} calls`, words),
      none('failed calls: 0', all.failed, `${all.calls} calls`, words),
    );
    const deed = 'a node killed, a router and control ended, each started with its stores away';
    return { deed, criteria };
  },
};

function storesOf({ redis, s3, postgres }: Surroundings): readonly Store[] {
  if (s3 === undefined) throw new Error('a cluster without S3');
  return [
    { name: 'Redis', stop: () => redis.kill(), start: () => redis.start() },
    { name: 'S3', stop: () => s3.stop(), start: () => s3.start() },
    { name: 'catalog', stop: () => postgres.crash(), start: () => postgres.start() },
  ];
}

/** @returns models of which a router that was started has no right answer, in words */
async function restarted(
  stage: Stage,
  cluster: ChaosCluster,
  away: string,
  isAll: boolean,
): Promise<readonly string[]> {
  const { nodes, routers, controls } = cluster;
  const some = (members: readonly Member[]) => (isAll ? members : members.slice(0, 1));
  const wrong: string[] = [];
  for (const member of [...some(nodes), ...some(controls), ...some(routers)]) {
    // Callers of a router that is killed lose what is under way, whoever comes after it.
    if (member.role === 'node') await member.kill();
    else await member.stop();
    await member.start();
    stage.note(
      `${away} away: ${member.id} was started in ${Math.round(member.process.readyMs)} ms`,
    );
    // Before the next router goes, clients have found this one again: they back off for a second.
    if (isAll && member.role === 'router') await pause(CLIENTS_BACK_MS);
    wrong.push(...(await unanswered(cluster, away, member)));
  }
  return wrong;
}

/** Asked of the router that was started, or of all where it was another one. */
async function unanswered(
  { options, routers }: ChaosCluster,
  away: string,
  started: Member,
): Promise<readonly string[]> {
  const asked = started.role === 'router' ? [started] : routers;
  const wrong: string[] = [];
  for (const router of asked) {
    const client = torusClient([router.process.at.grpc ?? '']);
    for (const [call, model] of options.models.entries()) {
      const found = await new Promise<string | undefined>((resolve) => {
        client.infer(checkedRequest(model, call), ANSWER_MS, ({ answer, message }) =>
          resolve(answer === undefined ? message : wrongIn(model, call, answer)),
        );
      });
      if (found !== undefined) wrong.push(`${started.id}, ${away} away, ${router.id}: ${found}`);
    }
    client.close();
  }
  return wrong;
}

async function leads(cluster: ChaosCluster): Promise<void> {
  const isLed = async () => (await leaders(cluster)).length === 1;
  await untilTrue('one leads', isLed, LEADS_TIMEOUT_MS);
}
