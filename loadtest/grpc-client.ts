// A gRPC client for load: messages encoded beforehand go out as they are, over several connections
// in turn. It is @grpc/grpc-js on purpose, not our own transport: an outside view.
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import { MAX_MESSAGE_BYTES } from '../transport/backend.ts';

export interface LoadClientOptions {
  /** host:port */
  readonly address: string;
  readonly connections: number;
  readonly credentials?: ChannelCredentials;
  /** The name that the server's certificate is for, when that is not the address. */
  readonly serverName?: string;
}

export interface LoadClient {
  /** @param done gets the gRPC status, and the answer's bytes when it is OK (0). */
  call(
    path: string,
    request: Uint8Array,
    deadlineMs: number,
    done: (code: number, response: Buffer | undefined) => void,
  ): void;
  close(): void;
}

const asIs = (bytes: Buffer): Buffer => bytes;

export function openLoadClient(options: LoadClientOptions): LoadClient {
  const clients = Array.from({ length: options.connections }, (_, at) => {
    const channelOptions = {
      // Channels with equal options share a connection unless they are told not to.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
      'grpc.primary_user_agent': `torus-load/${at}`,
      ...(options.serverName !== undefined && {
        'grpc.ssl_target_name_override': options.serverName,
      }),
    };
    const trust = options.credentials ?? credentials.createInsecure();
    return new Client(options.address, trust, channelOptions);
  });
  let turn = 0;
  return {
    call: (path, request, deadlineMs, done) => {
      const client = clients[turn++ % clients.length] as Client;
      const message = Buffer.from(request.buffer, request.byteOffset, request.byteLength);
      const deadline = new Date(Date.now() + deadlineMs);
      client.makeUnaryRequest(path, asIs, asIs, message, { deadline }, (error, response) => {
        if (error === null) done(0, response);
        else done(error.code, undefined);
      });
    },
    close: () => {
      for (const client of clients) client.close();
    },
  };
}
