// Writes to the catalog all the while, one after the other, and looks afterwards whether each that
// was answered OK is there.
import { CreateModelRequest } from '../../proto/gen/torus/v1/model_service.ts';
import { pause } from '../support/redis-server.ts';
import type { ChaosCluster } from './cluster.ts';
import { type Criterion, none } from './fault.ts';

const EACH_MS = 200;
const TIMEOUT_MS = 5_000;

export interface CatalogWriter {
  /** Ends it, and looks at the catalog. */
  judge(): Promise<Criterion>;
}

/** @param prefix of the models that it makes: of nobody else's */
export function writeCatalog({ admin }: ChaosCluster, prefix: string): CatalogWriter {
  const written: string[] = [];
  let [isOver, refused] = [false, 0];
  const timeout = { timeoutMs: TIMEOUT_MS };
  const write = async (): Promise<void> => {
    for (let at = 0; !isOver; at += 1) {
      const modelId = `${prefix}-${at}`;
      const request = CreateModelRequest.fromPartial({ modelId, model: { description: modelId } });
      try {
        await admin.any(({ models }) => models.createModel(request, timeout));
        written.push(modelId);
      } catch {
        refused += 1;
      }
      await pause(EACH_MS);
    }
  };
  const writing = write();
  return {
    async judge() {
      isOver = true;
      await writing;
      const lost: string[] = [];
      for (const id of written) {
        const found = await admin
          .any(({ models }) => models.getModel({ name: `models/${id}` }, timeout))
          .catch(() => undefined);
        if (found?.description !== id) lost.push(id);
      }
      const of = `${written.length} writes answered OK (${refused} refused)`;
      const criterion = none('catalog writes answered OK that are lost: 0', lost.length, of);
      return { ...criterion, isKept: criterion.isKept && written.length > 0 };
    },
  };
}
