// When the faults are over and some time has passed, everything must be as wanted: each model has
// its copies READY on nodes that live, and each router answers for each model, with the version
// that serves.

import { readAnswer } from './artifacts.ts';
import type { Cluster } from './cluster.ts';
import type { Traffic } from './traffic.ts';
import type { TrueModel } from './world.ts';

const TIMEOUT_MS = 1_500;

export function convergence(cluster: Cluster, traffic: Traffic): void {
  const { world, routers } = cluster;
  for (const model of world.models.values()) {
    checkCopies(cluster, model);
    for (const router of routers) {
      const { name } = router.machine;
      const wrong = (why: string): void =>
        world.checks.breach('converges', `${name} does not answer for ${model.name}: ${why}`);
      traffic.ask({
        ...{ router, model, version: 0, timeoutMs: TIMEOUT_MS },
        onEnd(outcome) {
          if (outcome === undefined) wrong('it is down');
          else if (!outcome.ok) wrong(outcome.error.message);
          else if (readAnswer(outcome.bytes).version !== model.serving) wrong('an old version');
        },
      });
    }
  }
}

function checkCopies({ nodes, world }: Cluster, { name, serving, contents }: TrueModel): void {
  if (serving === 0) return;
  const content = contents.get(serving);
  const isThere = nodes.some((node) =>
    [...node.engines].some(({ model, version }) => model === name && version === serving),
  );
  if (content !== undefined && !isThere) {
    world.checks.breach('converges', `no node has ${name}/${serving}`);
  }
}
