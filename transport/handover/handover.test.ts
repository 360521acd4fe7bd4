import { MessageChannel } from 'node:worker_threads';
import test from 'ava';
import { type Connector, conformance } from '../conformance.contract.ts';
import { serveThread } from './called-thread.ts';
import { callThread } from './calling-thread.ts';

const overPort: Connector = async (callee) => {
  const { port1, port2 } = new MessageChannel();
  const called = serveThread(port2, new Map([['callee', callee]]));
  const calling = callThread(port1);
  return {
    backend: calling.backend('callee', callee.methods),
    stop: async () => {
      calling.close();
      called.close();
    },
  };
};

conformance(test, 'handed over to another thread', overPort);
