// Memory of the whole product while a model is loaded and unloaded again and again. A few cycles
// tell whether it is given back; the promise of 100 takes minutes:
//   MEMORY_CYCLES=100 npx ava test/whole/memory.test.ts
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { floats, GraphBuilder } from '../../model/onnx/graph.ts';
import { outsideClient } from '../support/outside-client.ts';
import { dataFolder, startTorus } from '../support/torus-process.ts';

const CYCLES = Number(process.env.MEMORY_CYCLES ?? 5);
const SETTLED_AFTER = 10;
const MAX_GROWTH_RATIO = 1.05;
const MODEL = 'big';
/** Weights of 25 MiB. */
const SIDE = 2_560;
const WEIGHT_BYTES = SIDE * SIDE * 4;
/**
 * Seldom, and just past the second that a copy stays: what several hundred REST calls make V8
 * compile would be in the numbers, 20 MiB once.
 */
const LOOK_MS = 1_200;
const START_TIMEOUT_MS = 120_000;
const CYCLE_TIMEOUT_MS = 20_000;

function bigModel(): Uint8Array {
  const graph = new GraphBuilder(MODEL);
  graph.input('x', 'FP32', ['batch', SIDE]);
  const values = new Float32Array(SIDE * SIDE).map((_, index) => Math.sin(index));
  const weights = graph.constant(floats(values, [SIDE, SIDE]));
  graph.output(graph.node('MatMul', ['x', weights], { output: 'y' }), 'FP32', ['batch', SIDE]);
  return graph.write();
}

const REQUEST = {
  model_name: MODEL,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, SIDE] }],
  raw_input_contents: [Buffer.alloc(SIDE * 4)],
};

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Until no node holds a copy any more, one that is being unloaded included. */
async function untilGone(http: string): Promise<void> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const answer = await fetch(`http://${http}/api/v1/cluster`);
    const { nodes } = (await answer.json()) as { nodes: { copies?: unknown[] }[] };
    if (nodes.every(({ copies }) => (copies ?? []).length === 0)) return;
  }
}

/** Resident memory of the process; undefined where the system does not tell. */
async function rssBytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** Where ONNX Runtime keeps events until they are sent. */
async function hasTelemetryStore(pid: number): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder);
  const paths = await Promise.all(names.map((fd) => readlink(join(folder, fd)).catch(() => '')));
  return paths.some((path) => path.includes('onnxruntime.db'));
}

async function startWithBigModel(t: ExecutionContext) {
  const data = await dataFolder(t);
  const folder = join(dirname(data), 'models');
  await mkdir(join(folder, MODEL, '1'), { recursive: true });
  await writeFile(join(folder, MODEL, '1', 'model.onnx'), bigModel());
  const server = await startTorus({ data, flags: ['--model-repository', folder] });
  t.teardown(async () => void (await server.end('SIGKILL')));
  await server.sees(/: 1 imported/);
  const client = outsideClient(server.grpc);
  t.teardown(() => client.close());
  return { server, client };
}

test('an unloaded model gives its memory back; loading again takes no more', async (t) => {
  t.timeout(START_TIMEOUT_MS + CYCLES * CYCLE_TIMEOUT_MS);
  const { server, client } = await startWithBigModel(t);
  if ((await rssBytes(server.pid)) === undefined) {
    t.pass('this system does not tell');
    return;
  }
  const loaded: number[] = [];
  const unloaded: number[] = [];
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    await client.call('RepositoryModelLoad', { model_name: MODEL });
    t.is((await client.call('ModelInfer', REQUEST)).model_version, '1');
    loaded.push((await rssBytes(server.pid)) ?? 0);
    await client.call('RepositoryModelUnload', { model_name: MODEL });
    await untilGone(server.http);
    unloaded.push((await rssBytes(server.pid)) ?? 0);
  }
  t.false(await hasTelemetryStore(server.pid), 'ONNX Runtime would report to its maker');
  const shown = (values: readonly number[]): string =>
    values.map((bytes) => Math.round(bytes / 2 ** 20)).join(' ');
  const told = `RSS in MiB, loaded: ${shown(loaded)}; unloaded: ${shown(unloaded)}`;
  t.log(told);
  const givenBack = median(loaded.map((bytes, cycle) => bytes - (unloaded[cycle] ?? 0)));
  t.true(givenBack >= WEIGHT_BYTES / 2, told);
  const from = Math.min(SETTLED_AFTER, Math.ceil(CYCLES / 2));
  const settled = Math.max(...loaded.slice(Math.max(0, from - 5), from));
  const last = Math.min(...loaded.slice(from).slice(-5));
  t.true(last <= settled * MAX_GROWTH_RATIO, told);
});
