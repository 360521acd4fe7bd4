// What a hop through the router costs, beside the proxies that people put before gRPC servers.
import { ownServer } from '../contender.ts';
import {
  type Contest,
  CPU,
  contestTable,
  figureAt,
  P50,
  RATE,
  ratioAt,
  runContest,
} from '../measure/closed-contest.ts';
import { type Target, target } from '../measure/outcome.ts';
import type { Side } from '../measure/side.ts';
import type { Stage } from '../measure/stage.ts';
import type { Workload } from '../measure/workload.ts';
import { perceptronRequest } from '../perceptron.ts';
import { ENVOY, envoyEntry, NGINX, nginxEntry } from '../rivals/proxies.ts';
import { TINY } from '../tiny-mlp.ts';
import { type Entry, OURS, type Sides, startEchos, startSides } from './contestants.ts';
import { INFER_PATH, OUR_ECHO } from './inference.ts';

const CONNECTIONS = 4;
const STREAMS = [16, 64];
const NODES = 2;
/** Of what the slowest proxy reaches in a closed loop. */
const EQUAL_RATE_PART = 0.5;
/** Processor time is told in ticks of 10 ms, and at this rate there is little of it. */
const EQUAL_RATE_LONGER = 3;
const PROXIES = [ENVOY, NGINX];

export const ROUTING: Workload = {
  name: 'router',
  title: 'Router to 2 nodes',
  about:
    'Two nodes that answer ModelInfer at once, on the core of the client; the router, NGINX ' +
    '(grpc_pass) and Envoy (ring_hash), one after the other, alone on the other core. At the ' +
    'equal rate calls come at random times (Poisson), half as many as the slowest reaches.',
  async run(stage) {
    const { sides, missing, notes } = await startProxies(stage);
    const { roundsPlan } = stage;
    const closed = await runContest(sides, CONNECTIONS, STREAMS, roundsPlan);
    // After the others: one call at a time is too few to warm up a server.
    const single = await runContest(sides, 1, [1], { ...roundsPlan, hasPercentiles: true });
    const echo = await startEchos(stage, [OURS], { message: perceptronRequest(TINY) });
    const renamed = echo.sides.map((side): Side => ({ ...side, name: OUR_ECHO }));
    const rates = sides.map(({ name }) => figureAt(closed, 16, name, RATE)?.median ?? Infinity);
    const callsPerSecond = Math.floor(Math.min(...rates) * EQUAL_RATE_PART);
    const secondsPerRound = roundsPlan.secondsPerRound * EQUAL_RATE_LONGER;
    const paced = { ...roundsPlan, callsPerSecond, secondsPerRound };
    const equal = await runContest([...sides, ...renamed], CONNECTIONS, [64], paced);
    return {
      tables: [
        ...contestTable(closed, 'closed loop, proxy'),
        '',
        ...contestTable(single, 'closed loop, proxy'),
        '',
        ...contestTable(equal, `${callsPerSecond} calls/s, proxy`),
      ],
      targets: targetsOf(single, closed, equal),
      notes: [...notes, ...missing],
    };
  },
};

function targetsOf(single: Contest, closed: Contest, equal: Contest): readonly Target[] {
  const toRivals = PROXIES.flatMap((rival): Target[] => [
    target({
      text: `equal rate: CPU a call <= 1/3 of ${rival}'s`,
      value: ratioAt(equal, 64, OURS, rival, CPU),
      atMost: 1 / 3,
    }),
    ...STREAMS.map((streams) =>
      target({
        text: `closed loop, ${streams} streams: >= 3x ${rival}`,
        value: ratioAt(closed, streams, OURS, rival, RATE),
        atLeast: 3,
      }),
    ),
    target({
      text: `one call at a time: p50 <= ${rival}'s`,
      value: ratioAt(single, 1, OURS, rival, P50),
      atMost: 1,
    }),
  ]);
  const toEcho = target({
    text: 'equal rate: CPU a call <= 1.5x our echo',
    value: ratioAt(equal, 64, OURS, OUR_ECHO, CPU),
    atMost: 1.5,
  });
  return [...toRivals, toEcho];
}

async function startProxies(stage: Stage): Promise<Sides> {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, (_, at) =>
      stage.start({
        ...ownServer(`node ${at}`, 'servers/echo.ts', [INFER_PATH]),
        core: stage.plan.clientCore,
      }),
    ),
  );
  const ports = nodes.map(({ port }) => port);
  const message = perceptronRequest(TINY);
  const args = [TINY.name, ...ports.map(String)];
  const entries: Entry[] = [
    { launch: ownServer(OURS, 'servers/router.ts', args) },
    await envoyEntry(stage.folder, ports),
    await nginxEntry(stage.folder, ports),
  ];
  const isRight = (answer: Buffer): boolean => answer.equals(message);
  const call = { path: INFER_PATH, message, isRight, hasTls: false };
  const { sides, missing, notes } = await startSides(stage, entries, call);
  const calls = async (): Promise<number> => {
    const counts = await Promise.all(nodes.map((node) => node.ask('calls')));
    return counts.reduce((sum, [count = Number.NaN]) => sum + count, 0);
  };
  return { sides: sides.map((side) => ({ ...side, calls })), missing, notes };
}
