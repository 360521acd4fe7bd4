// A bare @grpc/grpc-js server that sends each message back: what that library alone can do. Runs
// as a process of its own: grpcjs-echo.ts [--cert FILE --key FILE]; prints 'listening PORT'.
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { MAX_MESSAGE_BYTES } from '../../transport/backend.ts';
import { answerControlLines } from '../servers/control-lines.ts';
import { readServerFlags, readTls } from '../servers/flags.ts';

const asIs = (bytes: Buffer): Buffer => bytes;
let calls = 0;

const server = new Server({
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
});
server.addService(
  {
    Echo: {
      path: '/bench.Echo/Echo',
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  },
  {
    Echo: (call: { request: Buffer }, done: sendUnaryData<Buffer>) => {
      calls += 1;
      done(null, call.request);
    },
  },
);
const tls = readTls(readServerFlags());
const credentials =
  tls === undefined
    ? ServerCredentials.createInsecure()
    : ServerCredentials.createSsl(null, [
        { cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) },
      ]);
server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
  if (error !== null) throw error;
  console.log(`listening ${port}`);
});
answerControlLines({ calls: () => calls, stop: () => server.forceShutdown() });
