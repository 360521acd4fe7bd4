// A node on its own: what it serves is what its model repository holds, changed by the calls
// RepositoryModelLoad and RepositoryModelUnload.
import { shownName } from '../common/names.ts';
import { Code, invalidArgument, StatusError, statusOf } from '../common/status.ts';
import type { Copies } from './copies.ts';
import type { ModelRepository, RepositoryModel } from './repository.ts';
import type { RepositoryControl } from './services/repository.ts';
import type { CopyStatus, Wanted } from './versions.ts';

export interface RepositorySource extends RepositoryControl {
  /** Wants everything in the repository; the loading goes on after it resolves. */
  start(): Promise<void>;
  /** To be called when copies have changed. */
  onChange(): void;
}

export function createRepositorySource(
  repository: ModelRepository,
  copies: Copies,
): RepositorySource {
  const wanted = new Map<string, readonly Wanted[]>();
  /** Why a model is not in the table. */
  const absent = new Map<string, string>();
  let waiting: { readonly model: string; readonly wake: () => void }[] = [];

  const want = (found: RepositoryModel): void => {
    const { model, error } = found;
    absent.delete(model);
    if (error === undefined) {
      // All of the same weight: then the newest READY one has the calls without a version.
      const weighed = found.copies.map((copy) => ({ ...copy, weight: 1, isKeptOnly: false }));
      wanted.set(model, weighed);
    } else if (!wanted.has(model)) absent.set(model, error.message);
  };
  const apply = (): void => copies.want([...wanted.values()].flat());
  const statusesOf = (model: string): readonly CopyStatus[] =>
    copies.statuses().filter((status) => status.model === model && status.weight !== undefined);
  const isSettled = (model: string): boolean =>
    statusesOf(model).every(({ state }) => state !== 'LOADING' && state !== 'UNLOADING');
  const settled = (model: string): Promise<void> =>
    new Promise((resolve) => {
      if (isSettled(model)) resolve();
      else waiting.push({ model, wake: resolve });
    });

  return {
    async start() {
      for (const found of await repository.scan()) want(found);
      apply();
    },
    onChange() {
      const done = waiting.filter(({ model }) => isSettled(model));
      waiting = waiting.filter((one) => !done.includes(one));
      for (const { wake } of done) wake();
    },
    others: () =>
      [...absent].map(([name, reason]) => ({ name, version: '', state: 'UNAVAILABLE', reason })),
    async load(model) {
      const found = await repository.read(model).catch((thrown: unknown) => {
        const why = statusOf(thrown).message;
        const what = `failed to load '${shownName(model)}'`;
        const text = `${what}, failed to poll from model repository: ${why}`;
        throw new StatusError(Code.INTERNAL, text);
      });
      want(found);
      if (found.error !== undefined) throw loadFailed(model, found.error.message);
      apply();
      for (const copy of found.copies) copies.retry(copy);
      await settled(model);
      const failed = statusesOf(model).filter(({ state }) => state !== 'READY');
      if (failed.length === 0) return;
      throw loadFailed(
        model,
        failed
          .map(({ version, reason }) => `version ${version} is at UNAVAILABLE state: ${reason};`)
          .join(' '),
      );
    },
    unload(model) {
      if (wanted.delete(model)) {
        absent.set(model, 'unloaded');
        apply();
      }
      return Promise.resolve();
    },
  };
}

function loadFailed(model: string, why: string): StatusError {
  return invalidArgument(`load failed for model '${shownName(model)}': ${why}`);
}
