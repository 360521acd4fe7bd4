// The same over TLS 1.3: what encryption leaves of the lead.
import { contestTable, RATE, ratioAt, runContest } from '../measure/closed-contest.ts';
import { type Target, target } from '../measure/outcome.ts';
import type { Workload } from '../measure/workload.ts';
import { TINY } from '../tiny-mlp.ts';
import { GRPC_JS, OURS, startEchos, TONIC } from './contestants.ts';
import { echoMessage } from './echo.ts';
import { OVER_GRPC_JS, RUST, startInfers } from './inference.ts';
import { ratioToBestRust } from './small-model.ts';

const MESSAGE_BYTES = 80;
const CONNECTIONS = 4;
const STREAMS = [16, 64];

export const TLS: Workload = {
  name: 'tls',
  title: 'Echo and perceptron 16-32-4 over TLS 1.3',
  about: 'tonic with rustls (ring), the others with OpenSSL as Node brings it.',
  async run(stage) {
    const hasTls = true;
    const message = echoMessage(MESSAGE_BYTES);
    const echos = await startEchos(stage, [OURS, GRPC_JS, TONIC], { message, hasTls });
    const echo = await runContest(echos.sides, CONNECTIONS, STREAMS, stage.roundsPlan);
    for (const side of echos.sides) await side.contender.stop();
    const servers = [OURS, OVER_GRPC_JS, RUST] as const;
    const infers = await startInfers(stage, servers, { model: TINY, hasTls });
    const infer = await runContest(infers.sides, CONNECTIONS, STREAMS, stage.roundsPlan);
    const targets = STREAMS.flatMap((streams): Target[] => {
      const echoTo = (rival: string, atLeast: number): Target =>
        target({
          text: `echo, ${streams} streams: >= ${atLeast}x ${rival}`,
          value: ratioAt(echo, streams, OURS, rival, RATE),
          atLeast,
        });
      return [
        echoTo(GRPC_JS, 4),
        echoTo(TONIC, 0.8),
        target({
          text: `perceptron, ${streams} streams: >= 4x ${OVER_GRPC_JS}`,
          value: ratioAt(infer, streams, OURS, OVER_GRPC_JS, RATE),
          atLeast: 4,
        }),
        target({
          text: `perceptron, ${streams} streams: >= 0.8x ${RUST}`,
          value: ratioToBestRust(infer, streams),
          atLeast: 0.8,
        }),
      ];
    });
    return {
      tables: [...contestTable(echo, 'echo'), '', ...contestTable(infer, 'perceptron')],
      targets,
      notes: [...echos.notes, ...infers.notes, ...echos.missing, ...infers.missing],
    };
  },
};
