// npm run conformance: what others' judges say of the transport. h2spec in plain text and over TLS,
// its strict cases too, on a bare listener and on the router and a node of `torus up`; and the
// interoperability clients of grpc-go and grpc-java against the service that they expect. Prints a
// table; the exit code tells.

import { type H2specResult, runH2spec } from './h2spec-run.ts';
import { grpcGo, grpcJava, type InteropClient, runCases } from './interop-cases.ts';
import { type Found, grpcGoClient, grpcJavaJars, h2spec } from './judging-tools.ts';
import { runningTorus } from './running-torus.ts';
import { testListener } from './test-listener.ts';

interface Row {
  readonly judge: string;
  readonly passed: number;
  readonly wanted: number;
  readonly notes: readonly string[];
  /** Why it did not run. */
  readonly skipped?: string;
}

const H2SPEC_CASES = 145;
const STRICT_CASES = 146;
const PATH = '/grpc.testing.TestService/EmptyCall';
const SERVER_LIVE = '/inference.GRPCInferenceService/ServerLive';

function notesOf({ failed, skipped }: H2specResult): string[] {
  return [...failed.map((name) => `failed ${name}`), ...skipped.map((name) => `skipped ${name}`)];
}

async function judgedByH2spec(found: Found, isStrict: boolean, isTls: boolean): Promise<Row> {
  const judge = `h2spec${isStrict ? ' -S' : ''}, ${isTls ? 'TLS' : 'plain text'}`;
  const wanted = isStrict ? STRICT_CASES : H2SPEC_CASES;
  if ('missing' in found) return { judge, passed: 0, wanted, notes: [], skipped: found.missing };
  const listener = await testListener(isTls);
  try {
    const { port } = listener;
    const result = await runH2spec({ program: found.path, port, path: PATH, isStrict, isTls });
    return { judge, passed: result.passed, wanted, notes: notesOf(result) };
  } finally {
    listener.stop();
  }
}

/** The ports of a whole Torus, in plain text. */
async function torusByH2spec(found: Found): Promise<readonly Row[]> {
  const judges = ['router', 'node'].map((role) => `h2spec -S, ${role} of torus up`);
  const row = (judge: string) => ({ judge, passed: 0, wanted: STRICT_CASES, notes: [] });
  if ('missing' in found) return judges.map((one) => ({ ...row(one), skipped: found.missing }));
  const torus = await runningTorus();
  try {
    const ports = [torus.routerPort, torus.nodePort];
    return await Promise.all(
      judges.map(async (judge, at) => {
        const options = { program: found.path, port: ports[at] ?? 0, path: SERVER_LIVE };
        const result = await runH2spec({ ...options, isStrict: true, isTls: false });
        return { judge, passed: result.passed, wanted: STRICT_CASES, notes: notesOf(result) };
      }),
    );
  } finally {
    await torus.end();
  }
}

async function judgedByClient(
  name: string,
  found: Found,
  clientOf: (path: string) => InteropClient,
): Promise<Row> {
  const judge = `${name} interop client`;
  const path = 'path' in found ? found.path : '';
  const client = clientOf(path);
  const wanted = client.cases.length;
  if ('missing' in found) return { judge, passed: 0, wanted, notes: [], skipped: found.missing };
  const listener = await testListener(false);
  try {
    const outcomes = await runCases(client, listener.port);
    const failed = outcomes.filter(({ failure }) => failure !== undefined);
    const notes = failed.map((one) => `failed ${one.name}: ${one.failure}`);
    const { calls, requestBytes, answerBytes, deadlines } = listener.held;
    const left = calls + requestBytes + answerBytes + deadlines;
    if (left > 0) notes.push(`left behind: ${JSON.stringify(listener.held)}`);
    return { judge, passed: wanted - failed.length - (left > 0 ? 1 : 0), wanted, notes };
  } finally {
    listener.stop();
  }
}

function print(row: Row): void {
  const score = row.skipped === undefined ? `${row.passed} of ${row.wanted}` : 'skipped';
  console.log(`${row.judge.padEnd(32)}${score}`);
  if (row.skipped !== undefined) console.log(`  ${row.skipped}`);
  for (const note of row.notes) console.log(`  ${note}`);
}

const spec = await h2spec();
const goClient = await grpcGoClient();
const javaJars = await grpcJavaJars();
// h2spec mostly waits: its four runs go side by side, each with a listener of its own.
const specRows = Promise.all([
  judgedByH2spec(spec, false, false),
  judgedByH2spec(spec, true, false),
  judgedByH2spec(spec, false, true),
  judgedByH2spec(spec, true, true),
]);
const rows = [
  await judgedByClient('grpc-go', goClient, grpcGo),
  await judgedByClient('grpc-java', javaJars, grpcJava),
];
const all = [...(await specRows), ...(await torusByH2spec(spec)), ...rows];
console.log();
for (const row of all) print(row);
const failed = all.filter(
  ({ skipped, passed, wanted }) => skipped === undefined && passed < wanted,
);
process.exitCode = failed.length === 0 ? 0 : 1;
