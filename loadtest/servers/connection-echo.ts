// Our HTTP/2 connection and nothing above it, sending each request's content back: what framing,
// header compression, flow control and limits cost, without gRPC. Runs as a process of its own:
// connection-echo.ts [--cert FILE --key FILE]; prints 'listening PORT'.
import { EchoHandler } from '../../transport/http2/connection/echo-handler.ts';
import { connectionOptions } from '../../transport/http2/connection/options.ts';
import type { Stream } from '../../transport/http2/connection/stream.ts';
import { listenConnections } from '../../transport/http2/shell/connection-listener.ts';
import { answerControlLines } from './control-lines.ts';
import { readServerFlags, readTls } from './flags.ts';

let calls = 0;

class CountingEcho extends EchoHandler {
  override onDone(stream: Stream): void {
    super.onDone(stream);
    calls += 1;
  }
}

const tls = readTls(readServerFlags());
const listener = await listenConnections({
  host: '127.0.0.1',
  port: 0,
  portFlag: undefined,
  connection: connectionOptions(true),
  nowMs: () => performance.now(),
  makeHandler: () => new CountingEcho(),
  ...(tls && { tls }),
});
console.log(`listening ${listener.port}`);
answerControlLines({ calls: () => calls, stop: () => listener.cut() });
