// Many connections that do little: what one holds, and whether those that call are served alike.
import { spread, spreadText } from '../comparison.ts';
import { nodeScript } from '../contender.ts';
import { runH2load } from '../measure/h2load.ts';
import { tableOf, target } from '../measure/outcome.ts';
import type { Side } from '../measure/side.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import { OURS, startEchos } from './contestants.ts';
import { echoMessage } from './echo.ts';

const MESSAGE_BYTES = 80;
const KIBIBYTE = 1_024;
/** A fifth of them calls. */
const ACTIVE_PART = 0.2;
const OPEN_TIMEOUT_MS = 120_000;
const ACTIVE_SECONDS = 2;
/** The server's code is compiled and its heap has grown before memory is looked at. */
const WARM_UP = { connections: 8, streams: 64, calls: 200_000 };

export const MANY_CONNECTIONS: Workload = {
  name: 'connections',
  title: 'Many connections',
  about:
    'Plain text. Each connection makes one call and stays; memory is the rise of the resident ' +
    'set after garbage collection, divided by the connections. Then a fifth of them call, one ' +
    'call after the other.',
  isAlone: true,
  async run(stage) {
    const { connections } = stage.plan;
    const active = Math.round(connections * ACTIVE_PART);
    const message = echoMessage(MESSAGE_BYTES);
    const { sides, notes } = await startEchos(stage, [OURS], { message });
    const side = sides[0] as Side;
    await warmUp(stage, side);
    const crowd = await startCrowd(stage, side, connections, active);
    const before = await settled(side);
    const [open = 0, failedOpen = 0] = await crowd.ask('open', OPEN_TIMEOUT_MS);
    const after = await settled(side);
    const kibibytes = (after.rssBytes - before.rssBytes) / KIBIBYTE / open;
    const heap = (after.heapBytes - before.heapBytes) / KIBIBYTE / open;
    const rounds: (readonly number[])[] = [];
    for (let round = 0; round < stage.plan.rounds; round += 1) {
      rounds.push(await crowd.ask('active', OPEN_TIMEOUT_MS));
    }
    const unfairness = spread(rounds.map(([least = 0, most = 0]) => most / least));
    const rate = spread(rounds.map(([, , total = 0]) => total / ACTIVE_SECONDS));
    const failed = spread([failedOpen, ...rounds.map(([, , , failures = 0]) => failures)]).most;
    const cells = [kibibytes.toFixed(1), heap.toFixed(1), spreadText(rate, 0), String(failed)];
    const head = ['connections', 'RSS, KiB each', 'heap, KiB each', 'active: calls/s', 'failed'];
    return {
      tables: tableOf(head, [[`${open}, ${active} active`, ...cells]]),
      targets: [
        target({
          text: `memory of each of ${open} connections <= 20 KB`,
          value: spread([(kibibytes * KIBIBYTE) / 1_000]),
          atMost: 20,
        }),
        target({ text: 'served: most / least <= 2', value: unfairness, atMost: 2 }),
      ],
      notes,
    };
  },
};

async function warmUp(stage: Stage, { contender, path, bodyFile }: Side): Promise<void> {
  const { port } = contender;
  const load = { port, path, bodyFile, isTls: false, core: stage.plan.clientCore, ...WARM_UP };
  await runH2load({ ...load, calls: Math.min(WARM_UP.calls, stage.plan.firstCalls * 50) });
}

/** After garbage collection, twice: what the first one frees may hold more. */
async function settled({ contender }: Side) {
  await contender.ask('heap');
  const [heapBytes = Number.NaN, , rssBytes = Number.NaN] = await contender.ask('heap');
  return { heapBytes, rssBytes };
}

function startCrowd(stage: Stage, side: Side, connections: number, active: number) {
  const { contender, path, bodyFile } = side;
  const numbers = [connections, active, ACTIVE_SECONDS].map(String);
  const args = [String(contender.port), path, bodyFile, ...numbers];
  const command = nodeScript('crowd.ts', args);
  return stage.start({ name: 'crowd', command, core: stage.plan.clientCore });
}
