// The grpc-js shells against each other. What is asserted of them stands in
// conformance.contract.ts.
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { connect } from './client.ts';
import { serveGrpc } from './server.ts';

const log = createLog({ role: 'test', level: 'silent' });

const overGrpcjs: Connector = async (backend, maxMessageBytes) => {
  const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log, maxMessageBytes });
  const { address } = server;
  const client = connect({ address, methods: backend.methods, maxMessageBytes });
  return {
    backend: client,
    stop: async () => {
      client.close();
      server.stop();
    },
  };
};

conformance(test, 'grpc-js to grpc-js', overGrpcjs);
