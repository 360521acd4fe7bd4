// R18: a model ends the process of whoever loads it, another one of whoever runs it first. The
// cluster gives it up after a few deaths, says why, and goes on with all others.
import { type Copy, CopyState } from '../../../proto/gen/torus/v1/cluster_service.ts';
import { CreateModelRequest } from '../../../proto/gen/torus/v1/model_service.ts';
import { pause, untilTrue } from '../../support/redis-server.ts';
import { type CheckedModel, checkedRequest } from '../checked-model.ts';
import type { ChaosClient } from '../clients.ts';
import { type ChaosCluster, USUAL_CLUSTER } from '../cluster.ts';
import { atMost, type Criterion, type Fault, NotHere, none } from '../fault.ts';
import type { Load } from '../load.ts';
import { planting } from '../planted.ts';
import { isPoisonHere, poisonOnnx } from '../poison-model.ts';
import { type Supervisor, supervise } from '../supervisor.ts';

const FULL = { quarantineMs: 40_000, afterMs: 15_000 };
const SHORT = { quarantineMs: 20_000, afterMs: 2_000 };
const MOST_DEATHS = 3;
const CALL_EACH_MS = 500;
const TIMEOUT_MS = 5_000;

export const poisonModel: Fault = {
  id: 'R18',
  title: 'a model ends its process, on load or on its first call',
  async run(stage, form) {
    if (!isPoisonHere) throw new NotHere('the model that ends its process needs an x64 processor');
    const { quarantineMs, afterMs } = form === 'full' ? FULL : SHORT;
    const cluster = await stage.ownCluster(USUAL_CLUSTER);
    const supervisor = supervise(cluster.nodes);
    stage.teardown(() => supervisor.end());
    const load = await stage.load(cluster);
    const criteria: Criterion[] = [];
    for (const when of form === 'full' ? (['load', 'call'] as const) : (['load'] as const)) {
      const before = supervisor.deaths();
      const model = { name: `poison-${when}`, mark: 0, copies: 1 };
      const caller = when === 'call' ? calling(cluster, model) : undefined;
      stage.teardown(async () => caller?.end());
      if (when === 'load') await plantPoison(cluster, model);
      else await importPoison(cluster, model);
      const found = await quarantined(cluster, model.name, quarantineMs);
      await pause(afterMs);
      caller?.end();
      const deaths = supervisor.deaths() - before;
      stage.note(`${when}: ${deaths} deaths: ${supervisor.dead.slice(before)}; ${found?.reason}`);
      criteria.push(atMost(`on ${when}: deaths in the whole cluster: <= 3`, deaths, MOST_DEATHS), {
        promise: `on ${when}: quarantined, with the reason`,
        measured: found?.reason ?? `not within ${quarantineMs / 1_000} s`,
        isKept: found !== undefined && found.reason !== '' && deaths > 0,
      });
    }
    await allUp(cluster, supervisor);
    await load.stop();
    return {
      deed: 'a model that traps on load, one on its first call',
      criteria: [...criteria, ...others(load)],
    };
  },
};

function others({ book, startMs }: Load): readonly Criterion[] {
  const all = book.figures();
  const words = book.failureWords(startMs);
  return [
    none('the others: wrong answers: 0', all.wrong, `${all.calls} calls`, words),
    none('the others: errors: 0', all.failed, `${all.calls} calls`, words),
  ];
}

/** Past the import, which would not let it through. */
async function plantPoison(cluster: ChaosCluster, model: CheckedModel): Promise<void> {
  const plants = await planting(cluster.surroundings);
  try {
    const { version } = await plants.plant(model, { onnx: () => poisonOnnx('load') });
    await cluster.admin.promote(model.name, version);
  } finally {
    await plants.close();
  }
}

async function importPoison({ admin }: ChaosCluster, { name, copies }: CheckedModel) {
  const policy = { minCopies: copies, maxCopies: copies };
  const request = CreateModelRequest.fromPartial({ modelId: name, model: { policy } });
  await admin.any(({ models }) => models.createModel(request, { timeoutMs: TIMEOUT_MS }));
  await admin.publishFile(name, 1, poisonOnnx('call'));
}

/** Someone who calls it all the while; it fails, whatever it is told. */
function calling(cluster: ChaosCluster, model: CheckedModel): { end(): void } {
  const clients: readonly ChaosClient[] = cluster.clients();
  let call = 1;
  const timer = setInterval(() => {
    const client = clients[call % clients.length];
    client?.infer(checkedRequest(model, call++), TIMEOUT_MS, () => undefined);
  }, CALL_EACH_MS);
  return { end: () => clearInterval(timer) };
}

/** What a node says of it, or the model's status where nobody is to have it any more. */
async function quarantined(
  cluster: ChaosCluster,
  model: string,
  withinMs: number,
): Promise<Pick<Copy, 'reason'> | undefined> {
  let found: Pick<Copy, 'reason'> | undefined;
  const isQuarantined = async (): Promise<boolean> => {
    await pause(CALL_EACH_MS);
    const { nodes, models } = await cluster.status();
    const copies = nodes.flatMap(({ copies }) => copies);
    const copy = copies.find(
      ({ modelId, state }) => modelId === model && state === CopyState.QUARANTINED,
    );
    const status = models.find(({ modelId }) => modelId === model);
    const isGivenUp = status?.wantedCopies === 0 && status.reason !== '';
    found = copy ?? (isGivenUp ? status : undefined);
    return found !== undefined;
  };
  await untilTrue('it is in quarantine', isQuarantined, withinMs).catch(() => undefined);
  return found;
}

async function allUp(cluster: ChaosCluster, { deaths }: Supervisor): Promise<void> {
  await untilTrue('all nodes are up', () => cluster.nodes.every(({ isUp }) => isUp)).catch(() => {
    throw new Error(`nodes go on dying: ${deaths()} deaths`);
  });
}
