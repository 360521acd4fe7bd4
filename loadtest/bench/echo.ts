// The transport alone: unary calls of 80 bytes that go back as they came.
import { contestTable, RATE, ratioAt, runContest } from '../measure/closed-contest.ts';
import { type Target, target } from '../measure/outcome.ts';
import type { Workload } from '../measure/workload.ts';
import { GRPC_GO, GRPC_JS, NODE_HTTP2, OURS, startEchos, TONIC } from './contestants.ts';

const MESSAGE_BYTES = 80;
const CONNECTIONS = 4;
const STREAMS = [1, 16, 64];

/** As long as most small calls; not all the same byte. */
export function echoMessage(sizeBytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, at) => (at * 37 + 11) & 0xff));
}

export const ECHO: Workload = {
  name: 'echo',
  title: 'Echo, 80 bytes',
  about:
    'Unary calls on one I/O thread, no server looks into the message. grpc-go has GOMAXPROCS=1, ' +
    'tonic the single-threaded runtime; each server is pinned to one core, the client to another.',
  async run(stage) {
    const servers = [OURS, GRPC_JS, NODE_HTTP2, GRPC_GO, TONIC] as const;
    const message = echoMessage(MESSAGE_BYTES);
    const { sides, missing, notes } = await startEchos(stage, servers, { message });
    const contest = await runContest(sides, CONNECTIONS, STREAMS, stage.roundsPlan);
    const rate = (streams: number, rival: string, atLeast: number): Target =>
      target({
        text: `${streams} streams: >= ${atLeast}x ${rival}`,
        value: ratioAt(contest, streams, OURS, rival, RATE),
        atLeast,
      });
    const many = [16, 64].flatMap((streams) => [
      rate(streams, GRPC_JS, 7),
      rate(streams, TONIC, 1.5),
      rate(streams, GRPC_GO, 1.5),
    ]);
    return {
      tables: contestTable(contest),
      targets: [rate(1, TONIC, 1), ...many],
      notes: [...notes, ...missing],
    };
  },
};
