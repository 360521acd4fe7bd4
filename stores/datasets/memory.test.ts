import { datasetsContract } from './datasets.contract.ts';
import { MemoryDatasets } from './memory.ts';

datasetsContract('memory', async () => {
  const store = new MemoryDatasets();
  return { store, end: () => store.close() };
});
