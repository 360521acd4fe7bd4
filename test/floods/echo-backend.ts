// What the flooded server answers: as little work as possible, so that the transport is judged.
import type { Backend, StreamCall, UnaryCall } from '../../transport/backend.ts';

export const PATHS = {
  /** The request comes back. */
  unary: '/floods.Echo/Unary',
  /** The request comes back, after a while. */
  slow: '/floods.Echo/Slow',
  /** A large answer to any request. */
  large: '/floods.Echo/Large',
  /** Messages come back. */
  stream: '/floods.Echo/Stream',
} as const;

const SLOW_MS = 50;
const LARGE = Buffer.alloc(1024 * 1024);

export class EchoBackend implements Backend {
  readonly methods = new Map([
    [PATHS.unary, 'unary'],
    [PATHS.slow, 'unary'],
    [PATHS.large, 'unary'],
    [PATHS.stream, 'bidi_stream'],
  ] as const);

  unary(call: UnaryCall): void {
    if (call.path === PATHS.large) call.succeed(LARGE);
    else if (call.path === PATHS.unary) call.succeed(call.request);
    else {
      const { request } = call;
      const timer = setTimeout(() => call.succeed(request), SLOW_MS);
      call.onCancel = () => clearTimeout(timer);
    }
  }

  stream(call: StreamCall): void {
    call.onMessage = (message) => {
      if (!call.send(message)) call.pause();
    };
    call.onDrain = () => call.resume();
    call.onHalfClose = () => call.end();
  }
}
