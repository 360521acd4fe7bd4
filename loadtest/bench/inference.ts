// Servers of a model: our node, the same over grpc-js, and the rival in Rust on the same ONNX
// Runtime; beside them our echo, which says what is left for a model to cost.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ownServer } from '../contender.ts';
import type { Side } from '../measure/side.ts';
import type { Stage } from '../measure/stage.ts';
import {
  type Perceptron,
  perceptronCheck,
  perceptronOnnx,
  perceptronRequest,
  writeRepository,
} from '../perceptron.ts';
import { buildTonic } from '../rivals/build.ts';
import {
  builtEntry,
  type Entry,
  OURS,
  type Sides,
  startEchos,
  startSides,
  tlsFlags,
} from './contestants.ts';

export const INFER_PATH = '/inference.GRPCInferenceService/ModelInfer';
export const OVER_GRPC_JS = 'torus on grpc-js';
/** Batches in the thread that serves. */
export const RUST = 'tonic + ort';
/** Batches in a thread of their own, on the same core. */
export const RUST_THREAD = 'tonic + ort, thread';
export const OUR_ECHO = 'torus echo';
export type InferServer =
  | typeof OURS
  | typeof OVER_GRPC_JS
  | typeof RUST
  | typeof RUST_THREAD
  | typeof OUR_ECHO;

/** What the Rust rival is: said where its figures are. */
export const RUST_NOTE =
  'tonic + ort: single-threaded runtime, whatever waits when ONNX Runtime is free is the next ' +
  'batch; run on the thread that serves, or ("thread") in a thread of its own.';

export interface InferOptions {
  readonly model: Perceptron;
  readonly hasTls?: boolean;
}

export async function startInfers(
  stage: Stage,
  servers: readonly InferServer[],
  { model, hasTls = false }: InferOptions,
): Promise<Sides> {
  const message = perceptronRequest(model);
  const folder = await writeModels(stage, model);
  const flags = await tlsFlags(stage, hasTls);
  const entries: Entry[] = [];
  for (const server of servers) {
    if (server !== OUR_ECHO) entries.push(await inferEntry(server, folder, model.name, flags));
  }
  const isRight = perceptronCheck(model);
  const infers = await startSides(stage, entries, { path: INFER_PATH, message, isRight, hasTls });
  const sides = infers.sides.map((side): Side => {
    const isOurNode = side.name === OURS || side.name === OVER_GRPC_JS;
    return isOurNode ? { ...side, batches: () => side.contender.ask('batches') } : side;
  });
  if (!servers.includes(OUR_ECHO)) return { ...infers, sides };
  const echo = await startEchos(stage, [OURS], { message, hasTls });
  const renamed = echo.sides.map((side): Side => ({ ...side, name: OUR_ECHO }));
  infers.notes.push(...echo.notes.map((note) => note.replace(OURS, OUR_ECHO)));
  return { ...infers, sides: [...sides, ...renamed] };
}

async function writeModels(stage: Stage, model: Perceptron): Promise<string> {
  const folder = join(stage.folder, `models-${model.name}`);
  await writeRepository(folder, [model]);
  return folder;
}

/** @param folder a repository that holds the model and nothing else. */
export async function inferEntry(
  server: Exclude<InferServer, typeof OUR_ECHO>,
  folder: string,
  model: string,
  flags: readonly string[],
  rustFlags: readonly string[] = [],
): Promise<Entry> {
  const ownNode = (more: readonly string[]): Entry => ({
    launch: ownServer(server, 'lone-node.ts', [folder, ...more, ...flags]),
  });
  switch (server) {
    case OURS:
      return ownNode([]);
    case OVER_GRPC_JS:
      return ownNode(['--transport', 'grpcjs']);
    case RUST:
    case RUST_THREAD: {
      const file = join(folder, model, '1', 'model.onnx');
      const batcher = server === RUST ? 'task' : 'thread';
      const args = ['--model', file, '--name', model, '--batcher', batcher, ...flags];
      return builtEntry(server, await buildTonic('infer'), [...args, ...rustFlags]);
    }
  }
}

/** The model's file, for programs that take one. */
export async function writeModelFile(stage: Stage, model: Perceptron): Promise<string> {
  const file = join(stage.folder, `${model.name}.onnx`);
  await writeFile(file, perceptronOnnx(model));
  return file;
}
