import { documentsContract } from './documents.contract.ts';
import { MemoryDocuments } from './memory.ts';

documentsContract('memory', async () => {
  const store = new MemoryDocuments();
  return { store, end: () => store.close() };
});
