// Our client against grpc-js: what the conformance suite asks of every way of carrying calls.
import test from 'ava';
import { createLog } from '../../common/log.ts';
import { type Connector, conformance } from '../conformance.contract.ts';
import { serveGrpc } from '../grpcjs/server.ts';
import { MIN_MAX_FRAME_BYTES } from '../http2/frames/constants.ts';
import { connectGrpc, MOST_STREAM_WINDOW_BYTES, STREAM_WINDOW_BYTES } from './client.ts';

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

test('windows hold whole frames, or each would end in a frame of next to nothing', (t) => {
  for (const windowBytes of [STREAM_WINDOW_BYTES, MOST_STREAM_WINDOW_BYTES]) {
    t.is(windowBytes % MIN_MAX_FRAME_BYTES, 0);
  }
});
