// Clients on @grpc/grpc-js and our own against this server. What is asserted of them stands in
// conformance.contract.ts and listener.contract.ts.
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { connectGrpc } from '../client/client.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { connect as connectGrpcjs } from '../grpcjs/client.ts';
import { listenerContract } from '../listener.contract.ts';
import { serveGrpc } from './serve-grpc.ts';

const log = createLog({ role: 'test', level: 'silent' });

function from(dial: typeof connectGrpc | typeof connectGrpcjs): Connector {
  return async (backend, maxMessageBytes) => {
    const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log, maxMessageBytes });
    const { address } = server;
    const client = dial({ address, methods: backend.methods, maxMessageBytes });
    return {
      backend: client,
      stop: async () => {
        client.close();
        server.stop();
      },
    };
  };
}

conformance(test, 'grpc-js to ours', from(connectGrpcjs));
conformance(test, 'ours to ours', from(connectGrpc));

listenerContract(test, 'ours', (backend, more) =>
  serveGrpc({ backend, host: '127.0.0.1', port: 0, log, ...more }),
);
