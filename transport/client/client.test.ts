// Our client against grpc-js: what the conformance suite asks of every way of carrying calls.
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { serveGrpc } from '../grpcjs/server.ts';
import { connectGrpc } from './client.ts';

const log = createLog({ role: 'test', level: 'silent' });

const toGrpcjs: Connector = async (backend, maxMessageBytes) => {
  const server = await serveGrpc({ backend, host: '127.0.0.1', port: 0, log, maxMessageBytes });
  const { address } = server;
  const client = connectGrpc({ address, methods: backend.methods, maxMessageBytes });
  return {
    backend: client,
    stop: async () => {
      client.close();
      server.stop();
    },
  };
};

conformance(test, 'our client to grpc-js', toGrpcjs);
