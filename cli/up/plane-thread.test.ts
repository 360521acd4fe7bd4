// The I/O threads as the main thread holds them: they serve as one, and the end of one is the end.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../common/clock.ts';
import { MemoryRegistry } from '../../registry/memory.ts';
import type { Registry, RegistryChange } from '../../registry/registry.ts';
import { type PlaneThread, startPlaneThread } from './plane-thread.ts';
import { readUpSettings } from './settings.ts';

type Listener = (change: RegistryChange) => void;

async function scene(t: ExecutionContext, ioThreads: number) {
  const folder = await mkdtemp(join(tmpdir(), 'torus-plane-'));
  const listeners: Listener[] = [];
  const memory = new MemoryRegistry(systemClock);
  const registry: Registry = new Proxy(memory, {
    get(target, name: keyof Registry) {
      if (name !== 'watch') return (target[name] as (...all: never[]) => unknown).bind(target);
      return (listener: Listener) => {
        listeners.push(listener);
        return target.watch(listener);
      };
    },
  });
  const fatal = Promise.withResolvers<Error>();
  const ports = { grpcPort: '0', nodePort: '0', nodes: '1', logLevel: 'silent' };
  const plane = startPlaneThread({
    settings: readUpSettings({ ...ports, ioThreads: String(ioThreads) }),
    registry,
    folders: { blobs: join(folder, 'blobs'), nodes: join(folder, 'nodes') },
    control: {},
    onFatal: fatal.resolve,
  });
  t.teardown(async () => {
    await end(plane);
    await registry.close();
    await rm(folder, { recursive: true, force: true });
  });
  const { grpcPort, nodePorts } = await plane.start();
  t.true(grpcPort > 0 && (nodePorts[0] ?? 0) > 0);
  return { plane, listeners, fatal: fatal.promise };
}

async function end(plane: PlaneThread): Promise<void> {
  await plane.drain().catch(() => undefined);
  await plane.stop().catch(() => undefined);
  await plane.ended;
}

test('threads that are told to end do so, and nobody calls that a fault', async (t) => {
  const { plane, fatal } = await scene(t, 3);
  t.is((await plane.snapshots()).length, 6, 'of the router and a node, in each');
  await plane.drain();
  await plane.stop();
  await plane.ended;
  t.is(await Promise.race([fatal, 'none']), 'none');
});

test('a thread that dies of an error is told, and the others end in order', async (t) => {
  const { plane, listeners, fatal } = await scene(t, 2);
  // The last one that began to watch is the side thread's router: what it hears, nobody foresaw.
  listeners.at(-1)?.(null as unknown as RegistryChange);
  t.regex((await fatal).message, /null/);
  t.is((await plane.snapshots()).length, 2, 'of those that live');
  await end(plane);
});
