// The grpc-js listener's own promises: what is asserted of it stands in listener.contract.ts.
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { listenerContract } from '../listener.contract.ts';
import { serveGrpc } from './server.ts';

const log = createLog({ role: 'test', level: 'silent' });

listenerContract(test, 'grpc-js', (backend, more) =>
  serveGrpc({ backend, host: '127.0.0.1', port: 0, log, ...more }),
);
