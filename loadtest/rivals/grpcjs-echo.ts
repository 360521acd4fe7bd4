// A bare @grpc/grpc-js server that sends each message back: what that library alone can do. Runs
// as a process of its own; prints 'listening PORT'; ends on SIGTERM.
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';

const asIs = (bytes: Buffer): Buffer => bytes;

const server = new Server();
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
    Echo: (call: { request: Buffer }, done: sendUnaryData<Buffer>) => done(null, call.request),
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`listening ${port}`);
});
process.on('SIGTERM', () => server.forceShutdown());
