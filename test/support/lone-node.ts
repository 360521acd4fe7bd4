// A node over a model repository made for the test, with real models.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { createLog } from '../../common/log.ts';
import { createMetrics } from '../../common/metrics.ts';
import { StatusError } from '../../common/status.ts';
import { type InferenceNode, type NodeOptions, startNode } from '../../server/node.ts';

const log = createLog({ role: 'node', level: 'silent' });

export interface Lone {
  readonly node: InferenceNode;
  readonly repository: string;
  readonly metrics: ReturnType<typeof createMetrics>;
  end(): Promise<void>;
}

/** Files by path: bytes, or text. Starts a node over them; ready when this resolves. */
export async function start(
  files: Record<string, Uint8Array | string>,
  more: Pick<NodeOptions, 'sideThreads' | 'tracer'> = {},
): Promise<Lone> {
  const folder = await mkdtemp(join(tmpdir(), 'torus-node-'));
  const repository = join(folder, 'models');
  await mkdir(repository);
  for (const [path, content] of Object.entries(files)) await put(repository, path, content);
  const metrics = createMetrics();
  const node = await startNode({
    ...more,
    id: 'n1',
    source: { kind: 'repository', folder: repository },
    dataDir: join(folder, 'data'),
    clock: systemClock,
    dateMs: () => 1_700_000_000_000,
    log,
    metrics,
    serverVersion: '1.2.3',
    onFatal: (error) => {
      throw error;
    },
  });
  await ready(node);
  const end = async (): Promise<void> => {
    await node.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { node, repository, metrics, end };
}

export async function serve(
  t: ExecutionContext,
  files: Record<string, Uint8Array | string>,
): Promise<Lone> {
  const lone = await start(files);
  t.teardown(lone.end);
  return lone;
}

export async function put(
  repository: string,
  path: string,
  content: Uint8Array | string,
): Promise<void> {
  const target = join(repository, path);
  await mkdir(join(target, '..'), { recursive: true });
  await writeFile(target, content);
}

function ready({ health }: InferenceNode): Promise<void> {
  if (health.isServing('') === true) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = health.onChange(() => {
      if (health.isServing('') !== true) return;
      stop();
      resolve();
    });
  });
}

/** What the work was refused with. */
export async function refusal(work: Promise<unknown>): Promise<StatusError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StatusError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}
